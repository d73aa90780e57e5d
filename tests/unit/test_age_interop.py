"""Files go both ways between this project and Debian's age, pyrage and the npm package age-encryption."""

import io
import json
import os
import pty
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyrage
import pytest

from ecogvault.age import (
    HybridIdentity,
    Identity,
    Passphrase,
    Sealer,
    X25519Identity,
    armor,
    decrypt_stream,
    generate,
    new_envelope,
    parse_identity,
    parse_recipient,
    read_identities,
    write_identity_file,
)
from ecogvault.age.envelope import Wraps

SIZES = [0, 1, 65535, 65536, 65537, 200000]
PASSPHRASE = "correct horse battery staple"


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def seal(plain: bytes, recipients: Sequence[Wraps]) -> bytes:
    sealed = bytearray()
    with Sealer(new_envelope(recipients), sealed.extend) as sealer:
        sealer.write(plain)
    return bytes(sealed)


def unseal(sealed: bytes, identity: Identity) -> bytes:
    plain = bytearray()
    decrypt_stream(io.BytesIO(sealed), [identity], plain.extend)
    return bytes(plain)


def run(command: Sequence[str | Path], data: bytes = b"") -> bytes:
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def run_in_terminal(command: Sequence[str], answers: Sequence[tuple[bytes, str]]) -> None:
    """Run `command` with a terminal of its own; give each answer once its prompt has appeared."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], list(command))
    for prompt, answer in answers:
        shown = b""
        while prompt not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, answer.encode() + b"\n")
    while True:
        try:
            if not os.read(terminal, 1024):
                break
        except OSError:  # what Linux reports when the other side of a terminal is gone
            break
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_we_seal_and_we_open_what_age_seals(size: int, tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, stderr=subprocess.DEVNULL)
    [identity] = read_identities(key)
    sealed = seal(content(size), [identity.recipient(), generate(classic=True).recipient()])
    assert run(["age", "-d", "-i", key], sealed) == content(size)
    assert run(["age", "-d", "-i", key], armor(sealed)) == content(size)
    recipient = str(identity.recipient())
    assert unseal(run(["age", "-r", recipient], content(size)), identity) == content(size)
    armored = run(["age", "-a", "-r", recipient], content(size))
    assert unseal(armored, identity) == content(size)


def test_age_uses_the_identity_files_that_we_write(tmp_path: Path) -> None:
    identity = generate(classic=True)
    write_identity_file(tmp_path / "key.txt", identity, None)
    sealed = run(["age", "-i", tmp_path / "key.txt", "-e"], b"content")
    assert unseal(sealed, identity) == b"content"
    assert run(["age-keygen", "-y", tmp_path / "key.txt"]).decode().strip() == str(identity.recipient())


def test_age_uses_our_identity_files_that_are_protected_by_a_passphrase(tmp_path: Path) -> None:
    identity = generate(classic=True)
    key, sealed, opened = tmp_path / "key.age", tmp_path / "sealed.age", tmp_path / "opened"
    write_identity_file(key, identity, PASSPHRASE.encode())
    sealed.write_bytes(seal(b"content", [identity.recipient()]))
    run_in_terminal(["age", "-d", "-i", str(key), "-o", str(opened), str(sealed)], [(b"passphrase", PASSPHRASE)])
    assert opened.read_bytes() == b"content"


@pytest.mark.parametrize("flags", [[], ["-a"]])
def test_we_read_identity_files_that_age_has_protected_by_a_passphrase(flags: list[str], tmp_path: Path) -> None:
    key, protected = tmp_path / "key.txt", tmp_path / "key.age"
    subprocess.run(["age-keygen", "-o", key], check=True, stderr=subprocess.DEVNULL)
    answers = [(b"Enter passphrase", PASSPHRASE), (b"Confirm passphrase", PASSPHRASE)]
    run_in_terminal(["age", "-p", *flags, "-o", str(protected), str(key)], answers)
    assert read_identities(protected, lambda: PASSPHRASE.encode()) == read_identities(key)


@pytest.mark.parametrize("size", SIZES)
def test_pyrage_and_we_open_each_others_files(size: int) -> None:
    theirs = pyrage.x25519.Identity.generate()
    sealed = seal(content(size), [parse_recipient(str(theirs.to_public()))])
    assert pyrage.decrypt(sealed, [theirs]) == content(size)
    assert pyrage.decrypt(armor(sealed), [theirs]) == content(size)
    ours = generate(classic=True)
    sealed = pyrage.encrypt(content(size), [pyrage.x25519.Recipient.from_str(str(ours.recipient()))])
    assert unseal(sealed, ours) == content(size)


@pytest.mark.parametrize("size", SIZES)
def test_pyrage_opens_what_we_seal_with_a_passphrase(size: int) -> None:
    sealed = seal(content(size), [Passphrase(PASSPHRASE.encode(), work_factor=10)])
    assert pyrage.passphrase.decrypt(sealed, PASSPHRASE) == content(size)


def test_we_open_what_pyrage_seals_with_a_passphrase() -> None:
    sealed = pyrage.passphrase.encrypt(content(200000), PASSPHRASE)
    assert unseal(sealed, Passphrase(PASSPHRASE.encode())) == content(200000)


@pytest.mark.parametrize("size", SIZES)
def test_age_encryption_and_we_open_each_others_post_quantum_files(npm_tools: Path, size: int) -> None:
    script = npm_tools / "age.mjs"
    theirs = json.loads(run(["node", script, "generate"]))
    identity = parse_identity(theirs["identity"])
    assert isinstance(identity, HybridIdentity)
    assert str(identity.recipient()) == theirs["recipient"]
    sealed = seal(content(size), [generate().recipient(), parse_recipient(theirs["recipient"])])
    assert run(["node", script, "decrypt", theirs["identity"]], sealed) == content(size)
    ours = generate()
    sealed = run(["node", script, "encrypt", theirs["recipient"], str(ours.recipient())], content(size))
    assert unseal(sealed, ours) == content(size)


@pytest.mark.parametrize("size", SIZES)
def test_age_encryption_and_we_open_each_others_classical_and_passphrase_files(npm_tools: Path, size: int) -> None:
    script = npm_tools / "age.mjs"
    ours = generate(classic=True)
    assert isinstance(ours, X25519Identity)
    assert run(["node", script, "decrypt", ours.secret_text()], seal(content(size), [ours.recipient()])) == content(
        size
    )
    assert unseal(run(["node", script, "encrypt", str(ours.recipient())], content(size)), ours) == content(size)
    passphrase = Passphrase(PASSPHRASE.encode(), work_factor=10)
    sealed = seal(content(size), [passphrase])
    assert run(["node", script, "decrypt-passphrase", PASSPHRASE], sealed) == content(size)
    assert unseal(run(["node", script, "encrypt-passphrase", PASSPHRASE], content(size)), passphrase) == content(size)
