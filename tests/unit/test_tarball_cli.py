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
    for first, count in ((0, 256), (4000, 1000), (4990, 10), (5000, 0), (17, 0)):
        assert run(tarball, "-i", key, "--member", "vid/a.avi", "--bytes", f"{first}+{count}") == 0
        assert capfdbinary.readouterr().out == FILES["vid/a.avi"][first : first + count]
    for words in (
        ("--bytes", "0+1"),
        ("--bytes", "0+1", "--list", "--member", "vid/a.avi"),
        ("--bytes", "0+1", "--member", "*"),
        ("--bytes", "0+1", "--member", "vid/a.avi", "vid/b.txt"),
        ("--bytes", "5", "--member", "vid/a.avi"),
    ):
        assert run(tarball, "-i", key, *words) != 0
        assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize("asked", ["5000+1", "4990+11", "0+5001", "9999999+5"])
def test_bytes_beyond_the_end_are_an_error_that_says_the_size(
    tmp_path: Path, tarball: Path, key: Path, capsys, asked: str
) -> None:
    one = single(tmp_path / "a.avi.age", FILES["vid/a.avi"])
    for words in ((tarball, "--member", "vid/a.avi"), (one,)):
        assert run(*words, "-i", key, "--bytes", asked) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert f"has 5000 bytes, and {asked} goes beyond them" in said.err


@pytest.mark.parametrize("head", [b"RIFF", b"\x28\xb5\x2f\xfd"], ids=["avi", "zst"])
def test_bytes_of_a_file_encrypted_by_itself(tmp_path: Path, key: Path, capfdbinary, head: bytes) -> None:
    plain = head + os.urandom(3_000_000)
    one = single(tmp_path / "x.edf.age", plain)
    for first, count in ((0, 256), (65_530, 20), (7, len(plain) - 7), (len(plain), 0)):
        assert run(one, "-i", key, "--bytes", f"{first}+{count}") == 0
        assert capfdbinary.readouterr().out == plain[first : first + count]
    assert run(one, "-i", key, "--bytes", "0+1", "--member", "x.edf") == 1
    said = capfdbinary.readouterr()
    assert said.out == b""


def test_bytes_of_a_tarball_need_a_member(tarball: Path, key: Path, capsys) -> None:
    assert run(tarball, "-i", key, "--bytes", "0+4") == 1
    assert "is a sealed tarball: name one file of it with --member" in capsys.readouterr().err


def piped(sealed_file: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    scripts = str(Path(__file__).parents[2] / "scripts")
    command = "import sys; from ecogvault.cli import main; sys.exit(main(sys.argv[1:]))"
    with open(sealed_file, "rb") as stream:
        return subprocess.run(
            [sys.executable, "-c", command, "open", "-", *map(str, words)],
            env=os.environ | {"PYTHONPATH": scripts},
            stdin=stream,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize("plain", [b"", b"RIFF" + bytes(100_000)])
def test_a_pipe_of_a_file_encrypted_by_itself_opens_under_a_name(tmp_path: Path, key: Path, plain: bytes) -> None:
    one = single(tmp_path / "x.avi.age", plain)
    words = ("-i", key, "-C", tmp_path / "out")
    refused = piped(one, *words)
    assert refused.returncode == 1
    assert "file encrypted by itself" in refused.stderr
    assert "--name NAME" in refused.stderr
    assert not (tmp_path / "out").exists()
    opened = piped(one, *words, "--name", "y.avi")
    assert (opened.returncode, opened.stdout) == (0, f"{tmp_path / 'out/y.avi'}\n")
    assert contents(tmp_path / "out") == {"y.avi": plain}


def test_a_name_is_of_a_file_in_the_folder_alone(tmp_path: Path, key: Path, capsys) -> None:
    one = single(tmp_path / "x.sealed", b"data")
    for words in (("--name", "../x"), ("--name", ".."), ("--name", "x", "--list"), ("--name", "x", "--bytes", "0+1")):
        assert run(one, "-i", key, "-C", tmp_path / "out", *words) == 1
    assert contents(tmp_path / "out") == {}
    assert run(one, "-i", key, "-C", tmp_path / "out", "--name", "x.txt") == 0
    assert contents(tmp_path / "out") == {"x.txt": b"data"}


def test_a_pipe_opens_too(tmp_path: Path, tarball: Path, key: Path) -> None:
    assert piped(tarball, "-i", key, "-C", tmp_path / "out").returncode == 0
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


@pytest.mark.parametrize("words", [(), ("--bytes", "0+10")])
def test_the_first_wrong_chunk_of_a_single_file_is_named(tmp_path: Path, key: Path, capsys, words: tuple) -> None:
    step = 64 * 1024 + 16
    one = single(tmp_path / "x.avi.age", os.urandom(5 * 64 * 1024 + 100))
    data = one.read_bytes()
    start = data.index(b"\n", data.index(b"\n--- ") + 1) + 1 + 16
    head, payload = data[:start], data[start:]
    chunks = [payload[start : start + step] for start in range(0, len(payload), step)]
    assert len(chunks) == 6
    for first, pieces in (
        (1, [chunks[0], *chunks]),
        (2, [*chunks[:2], *chunks[3:]]),
        (0, [chunks[5], *chunks[1:5], chunks[0]]),
        (3, [*chunks[:3], chunks[4], chunks[3], chunks[5][:9]]),
    ):
        one.write_bytes(head + b"".join(pieces))
        assert run(one, "-i", key, "-C", tmp_path / "out", *words) == 1
        assert f"in chunk {first} (from byte {first * 64 * 1024} of" in capsys.readouterr().err
    for count in range(6):
        one.write_bytes(head + b"".join(chunks[:count]))
        assert run(one, "-i", key, "-C", tmp_path / "out", *words) == 1
        said = capsys.readouterr().err
        assert "cut off" in said
        assert f"chunk {count} (from byte" in said
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("words", [(), ("--list",), ("--member", "vid/a.avi")])
def test_the_first_wrong_chunk_of_a_tarball_is_named(tmp_path: Path, key: Path, capsys, words: tuple) -> None:
    manifest = tree(tmp_path / "big", {"vid/a.avi": os.urandom(400_000)})
    sealed(tmp_path / "many", manifest, tmp_path / "big")
    tarball = outputs(tmp_path / "many")["tarball"]
    step = 64 * 1024 + 16
    data = tarball.read_bytes()
    start = data.index(b"\n", data.index(b"\n--- ") + 1) + 1 + 16
    chunks = [data[at : at + step] for at in range(start, len(data), step)]
    assert len(chunks) > 5
    tarball.write_bytes(data[:start] + b"".join([*chunks[:2], *chunks[3:]]))
    assert run(tarball, "-i", key, "-C", tmp_path / "out", *words) == 1
    assert "damaged in chunk 2 (from byte 131072 of" in capsys.readouterr().err
    tarball.write_bytes(data[:start] + b"".join(chunks[:3]))
    assert run(tarball, "-i", key, "-C", tmp_path / "out", *words) == 1
    assert "cut off before chunk 3 (from byte 196608 of" in capsys.readouterr().err


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
