"""Writing whole or not at all, and locks that die with their process."""

import errno
import multiprocessing
import os
import signal
import stat
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault import files
from ecogvault.files import (
    Locked,
    NoSpace,
    append_line,
    is_full,
    lock,
    replacing,
    require_space,
    temporary_beside,
    without_empty_folders,
)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@settings(max_examples=30, deadline=None)
@given(old=st.none() | st.binary(max_size=9), pieces=st.lists(st.binary(max_size=9), max_size=4))
def test_a_file_appears_whole_with_its_mode(
    old: bytes | None, pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("x") / "a.json"
    if old is not None:
        path.write_bytes(old)
    with replacing(path, mode=0o604) as stream:
        for piece in pieces:
            stream.write(piece)
        assert (path.read_bytes() if path.exists() else None) == old
    assert path.read_bytes() == b"".join(pieces)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError(errno.ENOSPC, "full")])
def test_a_broken_write_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"

    def write() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise error

    for before in ([], ["a"]):
        with pytest.raises(error if isinstance(error, type) else type(error)):
            write()
        assert names(tmp_path) == before
        path.write_bytes(b"old")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_a_failing_disk_leaves_nothing_under_the_name(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output"), replacing(tmp_path / "a") as stream:
        stream.write(b"x")
    monkeypatch.undo()
    assert names(tmp_path) == []


def test_nobody_reads_a_file_before_it_has_its_mode(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with replacing(tmp_path / "a", mode=0o600) as stream:
            assert stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == 0o600
            append_line(tmp_path / "j", b"1\n", mode=0o600)
    finally:
        os.umask(old)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "j")} == {0o600}


def test_a_link_is_replaced_and_what_it_led_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"raw")
    (tmp_path / "soft").symlink_to(tmp_path / "raw")
    os.link(tmp_path / "raw", tmp_path / "hard")
    for name in ("soft", "hard"):
        with replacing(tmp_path / name, mode=0o600) as stream:
            stream.write(b"new")
    assert (tmp_path / "raw").read_bytes() == b"raw"
    assert not (tmp_path / "soft").is_symlink()


def test_temporary_names_are_hidden_fresh_and_in_the_same_folder(tmp_path: Path) -> None:
    one, other = temporary_beside(tmp_path / "a"), temporary_beside(tmp_path / "a")
    assert one != other
    assert one.parent == tmp_path
    assert one.name.startswith(".a.")


def test_lines_are_added_and_the_mode_of_an_old_journal_stays(tmp_path: Path) -> None:
    path = tmp_path / "j"
    append_line(path, b"1\n", mode=0o640)
    path.chmod(0o600)
    append_line(path, b"2\n", mode=0o640)
    assert path.read_bytes() == b"1\n2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_too_little_room_is_said_with_figures(tmp_path: Path) -> None:
    require_space(tmp_path, 0, what="nothing")
    with pytest.raises(NoSpace, match=r"the copy needs 1000000000\.00 GB, but .* GB free: make room"):
        require_space(tmp_path, 10**18, what="the copy")
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EIO, ""))


def _hold(path: Path, ready: Connection) -> None:
    with lock(path, what="the thing"):
        ready.send(os.getpid())
        signal.pause()


@pytest.fixture
def holder(tmp_path: Path) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_hold, args=(tmp_path / "l", there))
    process.start()
    assert here.recv() == process.pid
    return process


def test_who_holds_a_lock_is_named_and_a_killed_holder_holds_nothing(
    tmp_path: Path, holder: multiprocessing.process.BaseProcess
) -> None:
    with pytest.raises(Locked, match=rf"the thing is in use by process {holder.pid} on \S+ since 20"):
        with lock(tmp_path / "l", what="the thing", wait=False):
            pytest.fail("two hold it")
    holder.kill()
    holder.join()
    with lock(tmp_path / "l", what="the thing", wait=False):
        assert (tmp_path / "l").stat().st_size > 0
    assert (tmp_path / "l").stat().st_size == 0


def _count(path: Path) -> None:
    for _ in range(50):
        with lock(path.with_suffix(".lock"), what="the number"):
            path.write_text(str(int(path.read_text()) + 1))


def test_waiting_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "n"
    path.write_text("0")
    context = multiprocessing.get_context("fork")
    counters = [context.Process(target=_count, args=(path,)) for _ in range(3)]
    for counter in counters:
        counter.start()
    for counter in counters:
        counter.join()
    assert path.read_text() == "150"


@pytest.mark.parametrize(("folder_mode", "lock_mode"), [(0o700, 0o600), (0o750, 0o640), (0o2770, 0o660)])
def test_a_lock_is_as_open_as_its_folder(tmp_path: Path, folder_mode: int, lock_mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(folder_mode)
    with files.lock(folder / ".lock", what="it"):
        assert (folder / ".lock").stat().st_mode & 0o777 == lock_mode


def test_folders_that_a_failed_block_has_made_go_when_they_are_empty_and_others_stay(tmp_path: Path) -> None:
    unit = tmp_path / "nas" / "unit"
    (tmp_path / "before").mkdir()

    def fail(folder: Path, *, keep: bool) -> None:
        with without_empty_folders(folder):
            (folder / "edf" / "deeper").mkdir(parents=True)
            if keep:
                (folder / "whole.edf").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail(unit, keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["before"]
    with pytest.raises(KeyboardInterrupt):
        fail(unit, keep=True)
    assert [path.name for path in unit.iterdir()] == ["whole.edf"]
    # What was there before stays, though it is empty.
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "before", keep=False)
    assert list((tmp_path / "before").iterdir()) == []
