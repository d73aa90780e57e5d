"""Fetching for restores: one file by its own bytes, and an interrupted object from where it was."""

import random
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from archive_lab import ArchiveLab

from ecogvault import restore
from ecogvault.digests import TreeHash
from ecogvault.errors import Damaged
from ecogvault.pool import run_all
from ecogvault.restore import fetch, files
from ecogvault.stores.errors import Unreachable
from ecogvault.stores.folder import FolderStore
from ecogvault.tarball.target import CheckedWriter, Target

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 4096 * 3


class Counted:
    """A store of one object that counts the bytes it gives, and can break after some of them."""

    where = "a place"

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.given = 0
        self.asked: list[int] = []
        self.breaks_after: int | None = None

    def get(self, key: str, offset: int = 0, length: int | None = None, version: str | None = None) -> Iterator[bytes]:
        self.asked.append(offset)
        end = len(self.content) if length is None else offset + length
        for start in range(offset, end, 65536):
            if self.breaks_after is not None and self.given >= self.breaks_after:
                raise Unreachable("it broke")
            piece = self.content[start : min(end, start + 65536)]
            self.given += len(piece)
            yield piece


def tree(content: bytes) -> str:
    digest = TreeHash()
    digest.update(content)
    return digest.hexdigest()


def fetched(store: Any, folder: Path) -> bytes:
    with fetch.fetched(store, "x", fetch.partial_path(folder, "x"), size=len(CONTENT)) as (stream, digest):
        data = stream.read()
        assert digest == tree(data)
    return data


def fail_with(store: Any, folder: Path, error: Exception) -> None:
    """Fetch, and fail in the block that reads what was fetched."""
    with fetch.fetched(store, "x", fetch.partial_path(folder, "x"), size=len(CONTENT)):
        raise error


def test_an_interrupted_fetch_asks_for_the_rest_alone(tmp_path: Path) -> None:
    store = Counted(CONTENT)
    store.breaks_after = MIB
    with pytest.raises(Unreachable):
        fetched(store, tmp_path)
    store.breaks_after = None
    assert fetched(store, tmp_path) == CONTENT
    assert store.given == len(CONTENT)
    assert store.asked == [0, MIB]
    assert list(tmp_path.iterdir()) == []


def test_what_was_spoilt_while_it_waited_is_found_by_the_digest_and_fetched_anew(tmp_path: Path) -> None:
    store = Counted(CONTENT)
    fetch.partial_path(tmp_path, "x").write_bytes(b"spoilt" + CONTENT[6:MIB])
    with pytest.raises(Damaged):
        fail_with(store, tmp_path, Damaged("so says the statement"))
    assert fetched(store, tmp_path) == CONTENT


def test_what_waits_is_kept_when_the_disk_is_full_and_not_fetched_again(tmp_path: Path) -> None:
    store = Counted(CONTENT)
    with pytest.raises(OSError, match="no space"):
        fail_with(store, tmp_path, OSError("no space"))
    assert fetched(store, tmp_path) == CONTENT
    assert store.given == len(CONTENT)


def test_more_than_the_whole_is_begun_anew(tmp_path: Path) -> None:
    fetch.partial_path(tmp_path, "x").write_bytes(CONTENT + b"more")
    assert fetched(Counted(CONTENT), tmp_path) == CONTENT


def test_one_file_of_a_tarball_costs_its_own_bytes_and_little_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = ArchiveLab(tmp_path)
    unit = lab.units[0]
    for clip, size in zip(sorted(lab.raw.glob("*_x1/*.avi")), (30 * MIB, 50 * MIB), strict=True):
        clip.write_bytes(random.Random(size).randbytes(size))
    lab.prints = lab.frozen()
    lab.make(unit)
    lab.upload(unit, "deep")
    given: list[int] = []
    real = FolderStore.get

    def counting(self: FolderStore, *words: Any, **named: Any) -> Iterator[bytes]:
        for piece in real(self, *words, **named):
            given.append(len(piece))
            yield piece

    monkeypatch.setattr(FolderStore, "get", counting)
    clip_path = f"vid/{unit.session}/{unit.session}_0001.avi"
    record = lab.paths.restored_record("deep", unit, clip_path)
    restore.restore_file(lab.config, unit, "deep", clip_path, record)
    assert (record.parent / str(unit) / clip_path).stat().st_size == 30 * MIB
    assert sum(given) <= 30 * MIB + 4 * MIB
    assert lab.copies(unit, "deep")[1].evidence == "acknowledged"


def kept_keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of folders from now on, by key."""
    asked: list[str] = []
    real = FolderStore.get

    def noting(self: FolderStore, key: str, *words: Any, **named: Any) -> Iterator[bytes]:
        asked.append(key)
        return real(self, key, *words, **named)

    monkeypatch.setattr(FolderStore, "get", noting)
    return asked


def test_what_came_whole_before_another_file_failed_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # One after the other, so that the first one has come when the second one fails.
    monkeypatch.setattr(files, "run_all", partial(run_all, at_once=1))
    lab = ArchiveLab(tmp_path)
    unit = lab.units[0]
    lab.make(unit)
    lab.upload(unit, "nas")
    bad = next((tmp_path / "nas").rglob("*_0002.avi"))
    good = bad.read_bytes()
    bad.chmod(0o600)
    bad.write_bytes(good[:-1] + b"?")
    with pytest.raises(restore.NotWhatWasArchived):
        lab.restore(unit, "nas")
    there = [path.name for path in (lab.paths.restored / "nas" / str(unit)).rglob("*") if path.is_file()]
    assert f"{unit.session}_0001.avi" in there
    assert bad.name not in there
    bad.write_bytes(good)
    asked = kept_keys(monkeypatch)
    folder = lab.restore(unit, "nas")
    assert [key for key in asked if key.endswith(".avi")] == [str(bad.relative_to(tmp_path / "nas"))]
    assert (folder / "vid" / unit.session / bad.name).read_bytes() == good


def test_files_that_came_have_their_names_before_many_bytes_wait(tmp_path: Path) -> None:
    target = Target(tmp_path, together=MIB)
    writer = CheckedWriter(target)
    for number in range(5):
        writer.begin(f"f{number}")
        data = CONTENT[: MIB // 2]
        writer.add(memoryview(data))
        assert writer.end(sha256(data).hexdigest())
    assert sorted(path.name for path in tmp_path.glob("f*")) == ["f0", "f1", "f2", "f3"]
    target.finish()
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("at", [60, -1], ids=["header", "content"])
def test_a_large_encrypted_file_that_was_spoilt_while_it_waited_is_fetched_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "LARGE", 100_000)
    lab = ArchiveLab(tmp_path)
    unit = lab.units[0]
    lab.make(unit)
    lab.upload(unit, "crypt")
    sealed = next((tmp_path / "crypt").rglob("*_0001.avi.age"))
    waiting = bytearray(sealed.read_bytes())
    waiting[at] ^= 1
    key = str(sealed.relative_to(tmp_path / "crypt"))
    partial = fetch.partial_path(lab.paths.restored / "crypt", key.replace("/", "_"))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(waiting)
    with pytest.raises(restore.NotWhatWasArchived):
        lab.restore(unit, "crypt")
    folder = lab.restore(unit, "crypt")
    assert (folder / "vid" / unit.session / sealed.stem).exists()
    assert not partial.exists()
