"""`ecogvault open` through the command itself."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tarball_builder import KEY, UNIT, contents, outputs, sealed, tree

from ecogvault.age import Sealer, new_envelope, write_identity_file
from ecogvault.cli import main

FILES = {"vid/a.avi": os.urandom(5000), "vid/b.txt": b"text"}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write_identity_file(tmp_path / "key", KEY, None)
    return tmp_path / "key"


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    manifest = tree(tmp_path / "root", FILES)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    return outputs(tmp_path / "sealed")["tarball"]


def single(path: Path, plain: bytes) -> Path:
    with open(path, "wb") as stream, Sealer(new_envelope([KEY.recipient()]), stream.write) as sealer:
        sealer.write(plain)
    return path


def run(*words: object) -> int:
    return main(["open", *map(str, words)])


def test_a_tarball_opens_into_a_folder_of_its_unit(tmp_path: Path, tarball: Path, key: Path, capsys) -> None:
    assert run(tarball, "-i", key, "-C", tmp_path / "out") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / UNIT}: 4 files, SHA-256 checked\n"
    found = contents(tmp_path / "out" / UNIT)
    assert {path: found[path] for path in FILES} == FILES


def test_a_member_alone_and_the_list(tmp_path: Path, tarball: Path, key: Path, capsys) -> None:
    assert run(tarball, "-i", key, "-C", tmp_path / "out", "--member", "*.txt") == 0
    assert set(contents(tmp_path / "out")) == {f"{UNIT}/vid/b.txt", f"{UNIT}/HOW-TO-OPEN.txt"}
    capsys.readouterr()
    assert run(tarball, "-i", key, "-C", tmp_path / "none", "--list") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        "MANIFEST.tsv",
        "HOW-TO-OPEN.txt",
        *FILES,
    ]
    assert not (tmp_path / "none").exists()


def test_some_bytes_of_one_file_go_to_standard_output(tmp_path: Path, tarball: Path, key: Path, capfdbinary) -> None:
    for first, count in ((0, 256), (4000, 1000), (4990, 100), (5000, 7), (17, 0)):
        assert run(tarball, "-i", key, "--member", "vid/a.avi", "--bytes", f"{first}+{count}") == 0
        assert capfdbinary.readouterr().out == FILES["vid/a.avi"][first : first + count]
    for words in (("--bytes", "0+1"), ("--bytes", "0+1", "--member", "*"), ("--bytes", "5", "--member", "vid/a.avi")):
        assert run(tarball, "-i", key, *words) != 0
        assert capfdbinary.readouterr().out == b""


def test_a_pipe_opens_too(tmp_path: Path, tarball: Path, key: Path) -> None:
    scripts = str(Path(__file__).parents[2] / "scripts")
    command = "import sys; from ecogvault.cli import main; sys.exit(main(sys.argv[1:]))"
    with open(tarball, "rb") as stream:
        subprocess.run(
            [sys.executable, "-c", command, "open", "-", "-i", key, "-C", tmp_path / "out"],
            env=os.environ | {"PYTHONPATH": scripts},
            stdin=stream,
            check=True,
        )
    assert contents(tmp_path / "out" / UNIT)["vid/a.avi"] == FILES["vid/a.avi"]


@pytest.mark.parametrize("plain", [b"", b"RIFF" + bytes(100_000)])
def test_a_file_encrypted_by_itself_gets_its_own_name(tmp_path: Path, key: Path, plain: bytes) -> None:
    one = single(tmp_path / "x.avi.age", plain)
    for _ in range(2):
        assert run(one, "-i", key, "-C", tmp_path / "out") == 0
        assert contents(tmp_path / "out") == {"x.avi": plain}
    (tmp_path / "out/x.avi").write_bytes(b"other")
    assert run(one, "-i", key, "-C", tmp_path / "out") == 1
    assert contents(tmp_path / "out") == {"x.avi": b"other"}


def test_a_damaged_file_leaves_nothing(tmp_path: Path, key: Path, capsys) -> None:
    one = single(tmp_path / "x.avi.age", bytes(200_000))
    data = bytearray(one.read_bytes())
    data[100_000] ^= 1
    one.write_bytes(data)
    assert run(one, "-i", key, "-C", tmp_path / "out") == 1
    assert "chunk 1" in capsys.readouterr().err
    assert contents(tmp_path / "out") == {}


def test_what_makes_no_sense_is_said(tmp_path: Path, key: Path, tarball: Path, capsys, monkeypatch) -> None:
    one = single(tmp_path / "x.avi.age", b"data")
    assert run(one, "-i", key, "--list") == 1
    assert "single file" in capsys.readouterr().err
    assert run(single(tmp_path / "x.sealed", b"data"), "-i", key, "-C", tmp_path / "out") == 1
    assert ".age" in capsys.readouterr().err
    assert run(tarball, "-i", key, "-C", tmp_path / "out", "--member", "nothing") == 1
    assert "nothing" in capsys.readouterr().err
    assert run("-", "-i", key, "--list") == 1
    assert "standard input" in capsys.readouterr().err


def test_the_passphrase_comes_from_a_file_or_a_prompt(tmp_path: Path, tarball: Path, capsys, monkeypatch) -> None:
    write_identity_file(tmp_path / "protected", KEY, b"correct horse battery")
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    (tmp_path / "passphrase").chmod(0o600)
    words = (tarball, "-i", tmp_path / "protected", "-C")
    assert run(*words, tmp_path / "a", "--passphrase-file", tmp_path / "passphrase") == 0
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert run(*words, tmp_path / "b") == 1
    assert "--passphrase-file" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: "correct horse battery")
    assert run(*words, tmp_path / "c") == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "c")
