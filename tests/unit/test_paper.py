"""Age identities on paper: what is printed comes back, and a typing error is found on its line."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.age import HybridIdentity, X25519Identity, generate, read_identities, write_identity_file
from ecogvault.age import passphrase as scrypt
from ecogvault.age.errors import BadIdentity
from ecogvault.age.paper import BadPaper, check_of, paper_text, read_paper
from ecogvault.cli import main
from ecogvault.registry_copy.contents import goes_along

PASSPHRASE = b"four made-up words here"
DATA = re.compile(r"^\d+/\d+ .*$", re.MULTILINE)


@pytest.fixture
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt.Passphrase.__init__, "__defaults__", (4,))


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\n")
    path.chmod(0o600)
    return path


def data_lines(page: str) -> list[str]:
    return DATA.findall(page)


@given(secret=st.binary(min_size=32, max_size=32), hybrid=st.booleans())
def test_what_is_printed_comes_back_from_the_numbered_lines_alone(secret: bytes, hybrid: bool) -> None:
    identity = HybridIdentity(secret) if hybrid else X25519Identity(secret)
    page = paper_text(identity, None, made="2026-03-02", comment="escrow")
    assert read_paper(page).identity == identity
    assert read_paper("\n".join(data_lines(page))).identity == identity
    loose = "\n".join(re.sub(r"(?<=\w) (?=\w)", "   ", line).lower() for line in data_lines(page))
    assert read_paper(loose).identity == identity


def test_the_page_says_which_key_it_is_and_fits_a_sheet(cheap_scrypt: None) -> None:
    key = generate()
    for page in (
        paper_text(key, None, made="2026-03-02", comment="escrow, safe 2"),
        paper_text(key, PASSPHRASE, made="2026-03-02", comment="escrow, safe 2"),
    ):
        assert key.recipient().fingerprint in page
        assert str(key.recipient())[:20] in page
        assert "made 2026-03-02   escrow, safe 2" in page
        assert len(page.splitlines()) <= 60
        assert max(map(len, page.splitlines())) <= 84
    assert 5 <= len(data_lines(page)) <= 8


@pytest.mark.parametrize("hybrid", [True, False])
def test_a_protected_key_comes_back_as_a_file_that_its_passphrase_opens(
    tmp_path: Path, cheap_scrypt: None, hybrid: bool
) -> None:
    key = generate(classic=not hybrid)
    page = paper_text(key, PASSPHRASE, made="2026-03-02")
    assert key.secret_text()[20:40] not in page.replace(" ", "")
    (tmp_path / "key").write_bytes(read_paper(page).file_bytes())
    assert read_identities(tmp_path / "key", lambda: PASSPHRASE) == [key]


def test_the_lines_open_with_the_age_tool_alone(tmp_path: Path) -> None:
    """As the page says: the text of each line, without spaces, between the two lines of the armor."""
    key = generate(classic=True)
    page = paper_text(key, None, made="2026-03-02")
    texts = ["".join(line.split()[1:-1]) for line in data_lines(page)]
    (tmp_path / "key").write_text("".join(texts) + "\n")
    tool = shutil.which("age-keygen")
    assert tool is not None
    answer = subprocess.run([tool, "-y", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(key.recipient())


@given(data=st.data())
def test_every_single_wrong_character_is_found_on_its_line(data: st.DataObject) -> None:
    key = HybridIdentity(data.draw(st.binary(min_size=32, max_size=32)))
    lines = data_lines(paper_text(key, None, made="2026-03-02"))
    number = data.draw(st.integers(0, len(lines) - 1))
    head, text, check = re.fullmatch(r"(\S+)  (.*)  #(\S+)", lines[number]).groups()  # type: ignore[union-attr]
    place = data.draw(st.sampled_from([at for at, sign in enumerate(text) if sign != " "]))
    other = data.draw(st.sampled_from("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L").filter(lambda sign: sign != text[place]))
    lines[number] = f"{head}  {text[:place]}{other}{text[place + 1 :]}  #{check}"
    with pytest.raises(BadPaper) as caught:
        read_paper("\n".join(lines))
    assert f"line {number + 1} has a typing error" in str(caught.value)
    assert "line" not in str(caught.value).replace(f"line {number + 1}", "")


def test_a_typing_error_is_told_with_its_group_and_character() -> None:
    key = HybridIdentity(bytes(range(32)))
    lines = data_lines(paper_text(key, None, made="2026-03-02"))
    words = lines[1].split()
    wrong = "Z" if words[2][4] != "Z" else "Q"
    words[2] = words[2][:4] + wrong + words[2][5:]
    with pytest.raises(BadPaper, match=r"^line 2 has a typing error \(look at group 2, character 5\)$"):
        read_paper("\n".join([lines[0], " ".join(words), *lines[2:]]))


def test_missing_doubled_and_swapped_lines_are_named() -> None:
    lines = data_lines(paper_text(generate(), None, made="2026-03-02"))
    assert len(lines) == 3
    with pytest.raises(BadPaper, match="line 2 of 3 is missing"):
        read_paper("\n".join([lines[0], lines[2]]))
    with pytest.raises(BadPaper, match="line 3 of 3 is missing"):
        read_paper("\n".join(lines[:2]))
    with pytest.raises(BadPaper, match="line 1 is there twice"):
        read_paper("\n".join([*lines, lines[0]]))
    swapped = ["1/3" + lines[1][3:], "2/3" + lines[0][3:], lines[2]]
    with pytest.raises(BadPaper, match="line 1 has a typing error; line 2 has a typing error"):
        read_paper("\n".join(swapped))
    with pytest.raises(BadPaper, match="no line as the paper has them"):
        read_paper("AGE-SECRET-KEY-1QQQ")


def test_lines_that_are_right_and_no_key_are_refused() -> None:
    texts = ["QUJD", "REVG"]
    page = "\n".join(f"{n}/2  {text}  #{check_of(n, 2, text)}" for n, text in enumerate(texts, start=1))
    with pytest.raises(BadPaper, match="no key"):
        read_paper(page)
    text = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQ"
    with pytest.raises(BadIdentity):
        read_paper(f"1/1  {text}  #{check_of(1, 1, text)}")


def test_a_page_never_goes_along_in_the_registrys_copy(tmp_path: Path, cheap_scrypt: None) -> None:
    for name, passphrase in (("clear.txt", None), ("protected.txt", PASSPHRASE)):
        (tmp_path / name).write_text(paper_text(generate(), passphrase, made="2026-03-02"))
        assert not goes_along(tmp_path / name, name, ())


# --- the commands -----------------------------------------------------------------------------------------------------


def test_keygen_writes_the_page_beside_the_key_and_a_comment_for_the_recipients(
    tmp_path: Path, passphrase_file: Path, cheap_scrypt: None, capsys: pytest.CaptureFixture[str]
) -> None:
    key, page, back = tmp_path / "key", tmp_path / "page.txt", tmp_path / "back"
    words = ["-o", key, "--paper", page, "--comment", "escrow, safe 2", "--passphrase-file", passphrase_file]
    assert main(["keygen", *map(str, words)]) == 0
    (identity,) = read_identities(key, lambda: PASSPHRASE)
    assert capsys.readouterr().out == f"# escrow, safe 2\n{identity.recipient()}\n"
    assert page.stat().st_mode & 0o777 == 0o600
    assert main(["paper-key", "--from-paper", str(page), "-o", str(back)]) == 0
    assert read_identities(back, lambda: PASSPHRASE) == [identity]
    assert back.stat().st_mode & 0o777 == 0o600


def test_an_older_key_gets_a_page_as_protected_as_it_is(
    tmp_path: Path, passphrase_file: Path, cheap_scrypt: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, passphrase, said in (("a", None, "NOT protected"), ("b", PASSPHRASE, "protected by the passphrase")):
        key, page, back = (tmp_path / f"{name}.{end}" for end in ("key", "txt", "back"))
        identity = generate()
        write_identity_file(key, identity, passphrase)
        words = ["paper-key", str(key), "-o", str(page), "--passphrase-file", str(passphrase_file)]
        assert main(words) == 0
        assert said in capsys.readouterr().out
        assert main(["paper-key", "--from-paper", str(page), "-o", str(back)]) == 0
        assert read_identities(back, lambda: PASSPHRASE) == [identity]


def test_nothing_is_overwritten_and_nothing_secret_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, page = tmp_path / "key", tmp_path / "page"
    identity = generate()
    write_identity_file(key, identity, None)
    page.write_text("precious")
    assert main(["paper-key", str(key), "-o", str(page)]) == 1
    assert main(["keygen", "-o", str(tmp_path / "new"), "--no-passphrase", "--paper", str(page)]) == 1
    assert not (tmp_path / "new").exists()
    assert page.read_text() == "precious"
    assert main(["paper-key", "-o", str(tmp_path / "x")]) == 1
    typed = "\n".join(data_lines(paper_text(identity, None, made="2026-03-02"))).replace("#", "#q")
    (tmp_path / "typed").write_text(typed)
    assert main(["paper-key", "--from-paper", str(tmp_path / "typed"), "-o", str(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()
    said = "".join(capsys.readouterr())
    assert identity.secret_text()[19:27] not in said
