"""Recipients, age identities, their files and `ecogvault keygen`."""

import argparse
import getpass
import hashlib
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.age import (
    BadIdentity,
    BadRecipient,
    HeaderError,
    HybridIdentity,
    MixedRecipients,
    NoRecipients,
    Passphrase,
    X25519Identity,
    encoding,
    generate,
    new_envelope,
    parse_identity,
    parse_recipient,
    read_identities,
    read_passphrase_file,
    read_recipients,
    write_identity_file,
)
from ecogvault.age.encoding import decode_base64, decode_bech32, encode_base64, encode_bech32
from ecogvault.age.header import HeaderIncomplete, parse_header, render_header
from ecogvault.cli import keygen

PASSPHRASE = b"correct horse battery staple"
# The example of C2SP age.md v1, "The X25519 recipient type".
SPECIFIED_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPECIFIED_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


@pytest.fixture
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passphrase.__init__, "__defaults__", (4,))


# --- encodings --------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=1300), st.sampled_from(["age", "age1pq", "age-secret-key-"]))
def test_bech32_of_any_length_comes_back_in_either_case(data: bytes, prefix: str) -> None:
    text = encode_bech32(prefix, data)
    assert decode_bech32(text) == (prefix, data)
    assert decode_bech32(text.upper()) == (prefix.upper(), data)


@given(st.data())
def test_one_wrong_character_of_a_recipient_is_always_detected(data: st.DataObject) -> None:
    place = data.draw(st.integers(4, len(SPECIFIED_RECIPIENT) - 1))
    others = set("qpzry9x8gf2tvdw0s3jn54khce6mua7l") - {SPECIFIED_RECIPIENT[place]}
    changed = (
        SPECIFIED_RECIPIENT[:place] + data.draw(st.sampled_from(sorted(others))) + SPECIFIED_RECIPIENT[place + 1 :]
    )
    with pytest.raises(BadRecipient, match="checksum"):
        parse_recipient(changed)


@pytest.mark.parametrize("text", ["", "age1", "1qqqqqq", "Age1qqqqqqqq", "age1bbbbbbbb", "a ge1qqqqqqqq"])
def test_what_is_not_bech32_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        decode_bech32(text)


def test_bech32_in_mixed_case_is_refused() -> None:
    with pytest.raises(ValueError, match="mixed"):
        decode_bech32(SPECIFIED_RECIPIENT[:-1] + SPECIFIED_RECIPIENT[-1].upper())


@pytest.mark.parametrize("values", [[0, 1], [0, 0, 0]])
def test_bech32_with_padding_that_no_bytes_give_is_refused(values: list[int]) -> None:
    # One byte takes two characters, the second of which ends with two zero bits.
    checksum = encoding._polymod([*encoding._expand("age"), *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values = values + [checksum >> 5 * (5 - place) & 31 for place in range(6)]
    with pytest.raises(ValueError, match="padding"):
        decode_bech32("age1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in values))


@given(st.binary(max_size=100))
def test_base64_comes_back_and_has_one_form_only(data: bytes) -> None:
    text = encode_base64(data)
    assert decode_base64(text) == data
    for other in (text + b"=", text + b"\n", b" " + text):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(other)


# --- recipients and identities ----------------------------------------------------------------------------------------


def test_the_example_of_the_specification_is_understood() -> None:
    identity = parse_identity(SPECIFIED_IDENTITY)
    assert str(identity.recipient()) == SPECIFIED_RECIPIENT
    assert identity.secret_text() == SPECIFIED_IDENTITY


@pytest.mark.parametrize(("classic", "length"), [(True, 62), (False, 1959)])
def test_new_identities_have_the_written_form_of_their_kind(classic: bool, length: int) -> None:
    identity = generate(classic=classic)
    recipient = identity.recipient()
    assert isinstance(identity, X25519Identity if classic else HybridIdentity)
    assert recipient.hybrid is not classic
    assert len(str(recipient)) == length
    assert str(recipient).startswith("age1pq1") is not classic
    assert parse_recipient(str(recipient)) == recipient
    assert parse_identity(identity.secret_text()) == identity
    assert recipient.fingerprint == hashlib.sha256(str(recipient).encode()).hexdigest()[:16]
    assert generate(classic=classic) != identity


def test_a_secret_is_never_shown_by_accident() -> None:
    for secret in (generate(), generate(classic=True), Passphrase(PASSPHRASE)):
        shown = f"{secret} {secret!r}"
        assert "secret=" not in shown
        assert "AGE-SECRET-KEY" not in shown
        assert PASSPHRASE.decode() not in shown


def test_an_identity_in_place_of_a_recipient_is_refused_without_repeating_it() -> None:
    for text in (SPECIFIED_IDENTITY, SPECIFIED_IDENTITY.lower(), SPECIFIED_IDENTITY[:-1]):
        with pytest.raises(BadRecipient, match="secret key") as caught:
            parse_recipient(text)
        assert text[16:30] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        SPECIFIED_RECIPIENT.upper(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA",
        encode_bech32("age", bytes(31)),
        encode_bech32("age", bytes(32)),  # a low-order point
        encode_bech32("age1pq", bytes(1215)),
        encode_bech32("age1pq", b"\xff" * 1216),  # coefficients over the modulus of ML-KEM
        encode_bech32("age1tag", bytes(33)),
    ],
)
def test_recipients_that_nobody_can_be_are_refused(text: str) -> None:
    with pytest.raises(BadRecipient):
        parse_recipient(text)


@pytest.mark.parametrize(
    "text",
    [
        SPECIFIED_IDENTITY.lower(),
        SPECIFIED_RECIPIENT,
        SPECIFIED_IDENTITY[:-1] + "Q",
        encode_bech32("age-secret-key-", bytes(31)).upper(),
        encode_bech32("age-plugin-yubikey-", bytes(32)).upper(),
    ],
)
def test_identities_of_another_form_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(BadIdentity) as caught:
        parse_identity(text)
    assert text[16:30] not in str(caught.value)


def test_kinds_of_recipients_are_never_mixed_in_one_file() -> None:
    hybrid, classic, passphrase = generate().recipient(), generate(classic=True).recipient(), Passphrase(PASSPHRASE, 4)
    for mixed in ([hybrid, classic], [classic, hybrid, hybrid], [passphrase, classic], [passphrase, passphrase]):
        with pytest.raises(MixedRecipients):
            new_envelope(mixed)
    with pytest.raises(NoRecipients):
        new_envelope([])
    for alone in ([hybrid, hybrid], [classic, classic], [passphrase]):
        assert len(parse_header(new_envelope(alone).header).stanzas) == len(alone)


def test_a_header_that_is_cut_off_anywhere_is_known_as_cut_off() -> None:
    header = new_envelope([generate().recipient()]).header
    for end in range(len(header)):
        with pytest.raises(HeaderIncomplete):
            parse_header(header[:end])
    assert parse_header(header + b"payload").raw == header


def test_a_header_for_nobody_is_refused() -> None:
    with pytest.raises(HeaderError, match="no recipient stanza"):
        parse_header(render_header([], bytes(16)))


def test_a_header_of_a_later_version_is_named_as_such() -> None:
    with pytest.raises(HeaderError, match="another version"):
        parse_header(b"age-encryption.org/v2\n-> X\n\n--- \n")


# --- files ------------------------------------------------------------------------------------------------------------


def test_recipients_are_read_past_comments_and_blank_lines(tmp_path: Path) -> None:
    one, two = generate().recipient(), generate().recipient()
    path = tmp_path / "recipients.txt"
    path.write_text(f"# archive\n{one}\n\n  # escrow, in the safe\r\n  {two}  \n")
    assert read_recipients(path) == [one, two]


def test_a_bad_line_is_named_by_its_number_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "recipients.txt"
    for bad, message in (("password123", "not an age recipient"), (SPECIFIED_IDENTITY, "secret key")):
        path.write_text(f"# first\n{SPECIFIED_RECIPIENT}\n{bad}\n")
        with pytest.raises(BadRecipient, match=f"recipients.txt, line 3: .*{message}") as caught:
            read_recipients(path)
        assert bad not in str(caught.value)


def test_a_recipient_twice_does_not_count_as_two(tmp_path: Path) -> None:
    path = tmp_path / "recipients.txt"
    path.write_text(f"{SPECIFIED_RECIPIENT}\n# escrow\n{SPECIFIED_RECIPIENT}\n")
    with pytest.raises(BadRecipient, match="line 3: .*already"):
        read_recipients(path)


def test_files_without_any_key_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("# nothing\n")
    with pytest.raises(NoRecipients):
        read_recipients(path)
    with pytest.raises(BadIdentity, match="no age identity"):
        read_identities(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadRecipient, match="text"):
        read_recipients(path)
    with pytest.raises(BadIdentity, match="text"):
        read_identities(path)


@pytest.mark.parametrize("classic", [True, False])
def test_identity_files_look_as_age_keygen_makes_them_and_are_read_back(tmp_path: Path, classic: bool) -> None:
    identity = generate(classic=classic)
    path = tmp_path / "key.txt"
    write_identity_file(path, identity, None)
    created, public, secret = path.read_text().splitlines()
    assert created.startswith("# created: 20")
    assert public == f"# public key: {identity.recipient()}"
    assert secret == identity.secret_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_identities(path) == [identity]


def test_protected_identity_files_open_with_their_passphrase_alone(tmp_path: Path) -> None:
    identity = generate()
    path = tmp_path / "key.age"
    write_identity_file(path, identity, PASSPHRASE)
    assert path.read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert read_identities(path, lambda: PASSPHRASE) == [identity]
    with pytest.raises(BadIdentity, match="does not open"):
        read_identities(path, lambda: PASSPHRASE + b"x")
    with pytest.raises(BadIdentity, match="protected by a passphrase"):
        read_identities(path)


def test_the_work_factor_is_18(tmp_path: Path) -> None:
    assert Passphrase(PASSPHRASE).wrap(bytes(16)).arguments[1] == b"18"


def test_damaged_protected_identity_files_are_refused_by_name(tmp_path: Path, cheap_scrypt: None) -> None:
    path = tmp_path / "key.age"
    write_identity_file(path, generate(), PASSPHRASE)
    data = path.read_bytes()
    path.write_bytes(data[:-60] + data[-50:])
    with pytest.raises(BadIdentity, match=r"key\.age"):
        read_identities(path, lambda: PASSPHRASE)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        write_identity_file(path, generate(), None)
    assert path.read_text() == "precious"


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="No space"):
        write_identity_file(tmp_path / "key.txt", generate(), None)
    assert list(tmp_path.iterdir()) == []


def test_passphrase_files_must_be_private_and_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\r\nsecond line\n")
    path.chmod(0o640)
    with pytest.raises(BadIdentity, match="chmod 600"):
        read_passphrase_file(path)
    path.chmod(0o600)
    assert read_passphrase_file(path) == PASSPHRASE
    path.write_bytes(b"\n")
    with pytest.raises(BadIdentity, match="no passphrase"):
        read_passphrase_file(path)
    with pytest.raises(BadIdentity, match="regular file"):
        read_passphrase_file(Path("/dev/null"))


# --- ecogvault keygen -------------------------------------------------------------------------------------------------


def keygen_run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    keygen.add(parser.add_subparsers())
    args = parser.parse_args(["keygen", *map(str, arguments)])
    code = args.run(args)
    assert isinstance(code, int)
    return code


def answer(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    waiting = list(answers)
    monkeypatch.setattr(sys, "stdin", argparse.Namespace(isatty=lambda: True))
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: waiting.pop(0))


@pytest.mark.parametrize(("flags", "hybrid"), [((), True), (("--classic",), False)])
def test_keygen_prints_the_recipient_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], hybrid: bool
) -> None:
    assert keygen_run("-o", tmp_path / "key.txt", "--no-passphrase", *flags) == 0
    [identity] = read_identities(tmp_path / "key.txt")
    assert capsys.readouterr().out == f"{identity.recipient()}\n"
    assert identity.recipient().hybrid is hybrid


def test_keygen_protects_the_key_with_the_passphrase_that_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheap_scrypt: None
) -> None:
    answer(monkeypatch, "nördlich von hier", "nördlich von hier")
    assert keygen_run("-o", tmp_path / "key.age") == 0
    assert len(read_identities(tmp_path / "key.age", "nördlich von hier".encode)) == 1


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["", ""], "empty"),
        (["            ", "            "], "empty"),
        (["elevenchars", "elevenchars"], "12 characters"),
        (["aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa"], "too easy"),
        (["correct horse battery", "correct horse batterz"], "differ"),
    ],
)
def test_keygen_refuses_weak_and_mistyped_passphrases_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], message: str
) -> None:
    answer(monkeypatch, *answers)
    with pytest.raises(keygen.BadPassphrase, match=message):
        keygen_run("-o", tmp_path / "key.age")
    assert list(tmp_path.iterdir()) == []


def test_keygen_without_a_terminal_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", argparse.Namespace(isatty=lambda: False))
    with pytest.raises(keygen.BadPassphrase, match="--no-passphrase"):
        keygen_run("-o", tmp_path / "key.age")


def test_keygen_takes_the_passphrase_from_a_private_file(tmp_path: Path, cheap_scrypt: None) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\n")
    path.chmod(0o600)
    assert keygen_run("-o", tmp_path / "key.age", "--passphrase-file", path) == 0
    assert len(read_identities(tmp_path / "key.age", lambda: PASSPHRASE)) == 1
    path.write_bytes(b"short\n")
    with pytest.raises(keygen.BadPassphrase, match="12 characters"):
        keygen_run("-o", tmp_path / "other.age", "--passphrase-file", path)


def test_keygen_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("precious")
    with pytest.raises(keygen.KeyExists, match="never overwritten"):
        keygen_run("-o", tmp_path / "key.txt", "--no-passphrase")
    assert (tmp_path / "key.txt").read_text() == "precious"
