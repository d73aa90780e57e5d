"""`ecogvault legacy-open`: where the password comes from, what is said, and which status it ends with."""

import io
import os
import pty
import random
import sys
from pathlib import Path

import pytest

from ecogvault.cli import main
from ecogvault.cli.legacy_open import NOT_PROVEN
from legacy_builder import AVI, FILES, PASSWORD, encrypted, packed, special, tar, to_block


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return encrypted(tmp_path / "df5c5206_3.tar.gz.enc", packed(tar({f"media/{path}": c for path, c in FILES.items()})))


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_bytes(PASSWORD + b"\n")
    path.chmod(0o600)
    return path


def run(*words: object) -> int:
    return main(["legacy-open", *map(str, words)])


def test_the_password_comes_from_a_private_file(archive: Path, password: Path, capsys) -> None:
    assert run(archive, "-o", "out", "--password-file", password) == 0
    assert capsys.readouterr().out == (
        "made by openssl enc -des, key by EVP_BytesToKey with md5, salted: tar in gzip\n"
        "out/df5c5206\n"
        "3 files: gzip's CRC and length are right, and the tar is whole to its end\n"
    )
    assert Path("out/df5c5206/a.avi").read_bytes() == AVI
    password.chmod(0o640)
    assert run(archive, "-o", "other", "--password-file", password) == 1
    assert "chmod 600" in capsys.readouterr().err
    assert not Path("other").exists()


def test_the_password_comes_from_a_file_descriptor(archive: Path, capsys) -> None:
    reader, writer = os.pipe()
    os.write(writer, PASSWORD + b"\n")
    os.close(writer)
    assert run(archive, "-o", "out", "--password-fd", reader) == 0
    assert run(archive, "-o", "out", "--password-fd", reader) == 1
    assert "the password is empty" in capsys.readouterr().err
    os.close(reader)
    assert run(archive, "-o", "out", "--password-fd", reader) == 1
    assert "file descriptor" in capsys.readouterr().err


def test_the_password_is_asked_for_at_a_terminal_and_not_shown(archive: Path, tmp_path: Path) -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    words = [sys.executable, "-m", "ecogvault", "legacy-open", str(archive), "-o", str(tmp_path / "out")]
    process, terminal = pty.fork()
    if not process:  # pragma: no cover
        os.execve(sys.executable, words, os.environ | {"PYTHONPATH": str(scripts)})
    shown = b""
    while b"Password of the archive: " not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, PASSWORD + b"\n")
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:
        pass  # the other end of a terminal closes with EIO
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert b"gzip's CRC and length are right" in shown
    assert PASSWORD not in shown
    assert (tmp_path / "out/df5c5206/a.avi").read_bytes() == AVI


def test_without_a_terminal_the_ways_are_named(archive: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run(archive, "-o", "out") == 1
    assert "--password-file or --password-fd" in capsys.readouterr().err


def test_no_process_is_started_that_could_hold_the_password(archive: Path, password: Path, monkeypatch) -> None:
    def refuse(*words: object, **more: object) -> None:
        raise AssertionError

    for name in ("subprocess.Popen.__init__", "os.fork", "os.posix_spawn", "os.execve", "os.system"):
        monkeypatch.setattr(name, refuse)
    assert run(archive, "-o", "out", "--password-file", password) == 0
    assert PASSWORD.decode() not in os.environ.values()


def test_the_list_shows_paths_as_they_are_and_writes_nothing(tmp_path: Path, password: Path, capsys) -> None:
    raw = os.fsdecode(b"a/M\xfcnchen\x1b[2J")
    link = special("a/link", b"2", "/etc")
    one = encrypted(tmp_path / "x.enc", packed(tar({raw: b"12345"}, extra=[link])))
    before = sorted(tmp_path.iterdir())
    assert run(one, "--list", "--password-file", password) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [f"{5:>14}  a/M\\udcfcnchen\\x1b[2J", "skipped (symbolic link): a/link"]
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_not_proven_is_said_and_has_a_status_of_its_own(tmp_path: Path, password: Path, capsys) -> None:
    one = encrypted(tmp_path / "x.avi.enc", to_block(AVI), "-nopad")
    assert run(one, "-o", "out", "--password-file", password) == NOT_PROVEN == 3
    assert "1 file, not proven: it begins as AVI, but does not end in padding" in capsys.readouterr().out
    assert sorted(os.listdir("out")) == ["x.avi.unproven"]


def test_a_wrong_password_is_said_in_one_line(archive: Path, password: Path, capsys) -> None:
    password.write_bytes(b"wrong")
    assert run(archive, "-o", "out", "--password-file", password) == 1
    error = capsys.readouterr().err
    assert "no combination of cipher and digest fits this password" in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_noise_is_refused_unless_asked_for_and_then_said_to_be_of_a_password_that_may_be_wrong(
    tmp_path: Path, password: Path, capsys
) -> None:
    noise = random.Random(5).randbytes(5000)
    one = encrypted(tmp_path / "x.bin.enc", noise)
    words = (one, "-o", "out", "--password-file", password)
    assert run(*words) == 1
    assert "--unproven writes it all the same" in capsys.readouterr().err
    assert not Path("out").exists()
    assert run(*words, "--cipher", "des", "--digest", "md5", "--unproven") == NOT_PROVEN
    said = capsys.readouterr().out
    assert "1 file, not proven: the password may be wrong, since nothing tells" in said
    assert os.listdir("out") == ["x.bin.unproven"]
    assert Path("out/x.bin.unproven").read_bytes() == noise


def test_a_wrong_password_with_unproven_may_be_wrong(archive: Path, password: Path, capsys) -> None:
    """Of 100 wrong passwords, most fit no end at all, and some fit one or several by chance."""
    statuses = set()
    for number in range(100):
        password.write_bytes(b"wrong %d" % number)
        statuses.add(run(archive, "-o", f"out{number}", "--password-file", password, "--unproven"))
        said = capsys.readouterr()
        assert "the password may be wrong" in said.out + said.err
    assert 1 in statuses


def test_two_ends_that_fit_do_not_hide_that_the_password_may_be_wrong(tmp_path: Path, password: Path, capsys) -> None:
    one = encrypted(tmp_path / "x.enc", to_block(random.Random(5).randbytes(5000)), "-nopad")
    assert run(one, "-o", "out", "--password-file", password, "--unproven", "--nopad") == 1
    error = capsys.readouterr().err
    assert "combinations of cipher and digest have an end" in error
    assert "the password may be wrong" in error
    assert "--cipher and --digest" in error


def test_a_command_line_that_makes_no_sense_is_refused(archive: Path, password: Path, capsys) -> None:
    assert run(archive, "--password-file", password) == 1
    assert "-o DIR" in capsys.readouterr().err
    assert run(archive, "-o", "out", "--password-file", password, "--password-fd", "0") == 2
    assert run(archive, "-o", "out", "--password-file", password, "--pbkdf2", "0") == 2
    assert run(archive, "-o", "out", "--password-file", password, "--cipher", "rot13") == 2
    assert run("nothing", "-o", "out", "--password-file", password) == 1
    assert "No such file or directory: nothing" in capsys.readouterr().err


def test_it_is_in_the_audit_log(archive: Path, password: Path, monkeypatch) -> None:
    lines = []
    monkeypatch.setattr("ecogvault.config.load", lambda path: path)
    monkeypatch.setattr("ecogvault.audit.record_here", lambda *line: lines.append(line[1:]))
    assert run(archive, "-o", "out", "--password-file", password) == 0
    assert lines == []
    Path("config").mkdir()
    Path("config/config.yaml").touch()
    assert run(archive, "-o", "out", "--password-file", password) == 0
    assert lines == [("legacy-open", "df5c5206")]
