"""Placing raw files: reflinked, linked only where nothing can be changed through it, else copied. Raw never changes."""

import errno
import fcntl
import grp
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecogvault import files, place
from ecogvault.config import Config, ConfigError
from ecogvault.files import NoSpace
from ecogvault.place import CannotPlace, RawMoved, Tree, group_id, make_folder, place_all

TOP = "vid/df5c5206_1"
# Groups that this user may give files to, beside their own: root any, others those that they are in.
OTHER_GROUPS = [4711] if os.geteuid() == 0 else [one for one in os.getgroups() if one != os.getegid()][:1]


def tree(**changes: object) -> Tree:
    return Tree(**{"folder_mode": 0o750, "file_mode": 0o640, "gid": None, "link": "auto", **changes})  # type: ignore[arg-type]


class Place:
    """A raw folder and a results folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.raw = folder / "raw"
        self.root = folder / "results"
        self.raw.mkdir()
        self.root.mkdir()
        self.sources: dict[str, Path] = {}
        for index in range(3):
            self.add(f"{TOP}/df5c5206_1_{index:04d}.avi", f"Quellmotz_{index:04d}.avi", b"RIFF" * (index + 1))
        self.add(f"{TOP}/decimated/df5c5206_1_0000.avi", "decimated_0000.avi", b"small")

    def add(self, coded: str, raw: str, data: bytes, mode: int = 0o640) -> Path:
        path = self.raw / raw
        path.write_bytes(data)
        path.chmod(mode)
        os.utime(path, ns=(1, 1_600_000_000_123_456_789))
        self.sources[coded] = path
        return path

    def run(self, wanted: Tree) -> dict[str, int]:
        entries, counts = place_all(self.sources, self.root, TOP, wanted)
        assert [entry.path for entry in entries] == sorted(self.sources)
        for entry in entries:
            data = self.sources[entry.path].read_bytes()
            assert (self.root / entry.path).read_bytes() == data
            assert (entry.size, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert {path for path in (self.root / TOP).rglob("*") if path.is_file()} == {
            self.root / name for name in self.sources
        }
        return counts

    def same(self, coded: str) -> bool:
        return (self.root / coded).samefile(self.sources[coded])


def facts(folder: Path) -> dict[str, tuple[object, ...]]:
    """All of a folder that must never change; ctime, link count and atime aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns, data)
    return found


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    before = facts(made.raw)
    yield made
    after = facts(made.raw)
    assert {name: after[name] for name in before if name in after} == before


def no_reflink(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "ioctl", refuse)


# --- hard links -------------------------------------------------------------------------------------------------------


def test_a_raw_file_that_is_as_wanted_is_linked(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    no_reflink(monkeypatch)
    assert here.run(tree()) == {"linked": 4}
    assert all(here.same(coded) for coded in here.sources)
    assert here.run(tree()) == {"kept": 4}


@pytest.mark.parametrize(
    ("wanted", "raw_mode"),
    [
        (tree(file_mode=0o600, folder_mode=0o700), 0o640),
        (tree(folder_mode=0o770, file_mode=0o660), 0o660),
        (tree(folder_mode=0o2770), 0o640),
        (tree(file_mode=0o646, folder_mode=0o757), 0o646),
        *((tree(gid=group), 0o640) for group in OTHER_GROUPS),
        (tree(), 0o440),
        (tree(), 0o642),
    ],
)
def test_nothing_is_linked_through_which_the_raw_file_could_be_changed(
    here: Place, wanted: Tree, raw_mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_reflink(monkeypatch)
    for path in here.sources.values():
        path.chmod(raw_mode)
    before = facts(here.raw)
    assert here.run(wanted) == {"copied": 4}
    for coded in here.sources:
        status = (here.root / coded).stat()
        assert not here.same(coded)
        assert stat.S_IMODE(status.st_mode) == wanted.file_mode
        assert wanted.gid in (None, status.st_gid)
        assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert facts(here.raw) == before
    with pytest.raises(CannotPlace, match=r"df5c5206_1.*use auto or copy"):
        place_all(here.sources, here.root, TOP, tree(**{**vars(wanted), "link": "hardlink"}))
    for path in here.sources.values():
        path.chmod(0o640)


def test_another_mode_or_way_of_linking_parts_a_link_and_leaves_the_raw_file(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_reflink(monkeypatch)
    here.run(tree())
    assert here.run(tree(link="copy")) == {"copied": 4}
    assert not any(here.same(coded) for coded in here.sources)
    assert here.run(tree(link="hardlink")) == {"linked": 4}
    assert here.run(tree(file_mode=0o600, folder_mode=0o700)) == {"copied": 4}
    assert here.run(tree(file_mode=0o644, folder_mode=0o755)) == {"kept": 4}
    assert {stat.S_IMODE((here.root / coded).stat().st_mode) for coded in here.sources} == {0o644}


def test_across_file_systems_files_are_copied(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    no_reflink(monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert here.run(tree()) == {"copied": 4}
    with pytest.raises(CannotPlace, match="another file system"):
        place_all(here.sources, here.root, TOP, tree(link="hardlink"))


# --- reflinks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def reflinking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place with reflinks: on a real btrfs where one can be mounted, else with the kernel's answer played."""
    image, folder = tmp_path / "btrfs.img", tmp_path / "btrfs"
    folder.mkdir()
    mounted = False
    if os.geteuid() == 0 and shutil.which("mkfs.btrfs"):
        with open(image, "wb") as stream:
            stream.truncate(128 * 1024 * 1024)
        subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
        mounted = (
            subprocess.run(["mount", "-o", "loop", image, folder], check=False, capture_output=True).returncode == 0
        )
    if not mounted:

        def clone(target: int, request: int, source: int) -> int:
            assert request == 0x40049409
            return os.pwrite(target, os.pread(source, 1 << 20, 0), 0) * 0

        monkeypatch.setattr(fcntl, "ioctl", clone)
    try:
        made = Place(folder)
        before = facts(made.raw)
        yield made
        assert facts(made.raw) == before
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def test_where_the_file_system_shares_blocks_files_are_reflinked_with_mode_and_time(reflinking: Place) -> None:
    wanted = tree(file_mode=0o600, folder_mode=0o700)
    assert reflinking.run(wanted) == {"reflinked": 4}
    for coded in reflinking.sources:
        status = (reflinking.root / coded).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o600, 1)
        assert status.st_mtime_ns == 1_600_000_000_123_456_789
        assert not reflinking.same(coded)
    assert reflinking.run(wanted) == {"kept": 4}
    assert reflinking.run(tree(link="reflink")) == {"kept": 4}
    assert reflinking.run(tree(link="hardlink")) == {"linked": 4}
    assert reflinking.run(tree(link="reflink")) == {"reflinked": 4}


def test_a_reflink_that_cannot_be_had_is_refused_when_it_was_asked_for(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_reflink(monkeypatch)
    with pytest.raises(CannotPlace, match="link: reflink cannot be had for vid/df5c5206_1/"):
        place_all(here.sources, here.root, TOP, tree(link="reflink"))
    assert [path for path in here.root.rglob("*") if path.is_file()] == []


def test_another_error_while_sharing_blocks_is_not_hidden(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "ioctl", fail)
    with pytest.raises(OSError, match="Input/output"):
        place_all(here.sources, here.root, TOP, tree())
    assert [path for path in here.root.rglob("*") if path.is_file()] == []


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_broken_run_goes_on_where_it_was(here: Place) -> None:
    wanted = tree(link="copy")
    done: list[int] = []

    def stop(size: int) -> None:
        done.append(size)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place_all(here.sources, here.root, TOP, wanted, progress=stop)
    leftover = here.root / TOP / ".df5c5206_1_0002.avi.0123abcd.part~"
    leftover.write_bytes(b"half")
    assert here.run(wanted) == {"kept": 2, "copied": 2}


def test_what_an_earlier_content_left_is_cleared_and_nothing_else(here: Place) -> None:
    here.run(tree(link="copy"))
    stranger = here.root / "vid" / "df5c5206_11" / "df5c5206_11.eeg"
    stranger.parent.mkdir()
    stranger.write_bytes(b"x")
    old = here.root / TOP / "df5c5206_1_d001" / "deep" / "old.dat"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    (here.root / TOP / "link").symlink_to(here.raw)
    del here.sources[f"{TOP}/decimated/df5c5206_1_0000.avi"]
    assert here.run(tree(link="copy")) == {"kept": 3}
    assert stranger.exists()
    assert sorted(path.name for path in (here.root / TOP).iterdir()) == [f"df5c5206_1_000{n}.avi" for n in range(3)]


def test_too_little_room_for_all_of_it_is_said_before_the_first_byte(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(here.root)
    free = 1024 * 1024 + sum(path.stat().st_size for path in here.sources.values())
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=free - 1))
    with pytest.raises(NoSpace, match="make room"):
        place_all(here.sources, here.root, TOP, tree(link="copy"))
    assert [path for path in here.root.rglob("*") if path.is_file()] == []
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert here.run(tree(link="copy")) == {"copied": 4}
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert here.run(tree(link="copy")) == {"kept": 4}


def test_links_need_no_room(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    no_reflink(monkeypatch)
    usage = shutil.disk_usage(here.root)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert here.run(tree()) == {"linked": 4}


@pytest.mark.parametrize("link", ["copy", "hardlink", "auto"])
def test_a_raw_file_that_changes_while_it_is_read_fails_by_coded_name(
    here: Place, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = here.add(f"{TOP}/df5c5206_1_x001.dat", "growing", b"first")
    reads = place.sha256_of

    def while_it_grows(path: Path) -> tuple[int, str]:
        found = reads(path)
        if path.name == "df5c5206_1_x001.dat":
            with open(raw, "ab") as stream:
                stream.write(b"more")
        return found

    monkeypatch.setattr(place, "sha256_of", while_it_grows)
    with pytest.raises(RawMoved, match=f"{TOP}/df5c5206_1_x001.dat") as caught:
        place_all(here.sources, here.root, TOP, tree(link=link))
    assert "growing" not in str(caught.value)
    monkeypatch.undo()
    here.run(tree(link=link))


def test_a_copy_that_does_not_read_back_is_not_kept(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "sha256_of", lambda path: (path.stat().st_size, "0" * 64))
    with pytest.raises(RawMoved, match="does not read back"):
        place_all(here.sources, here.root, TOP, tree(link="copy"))
    assert [path for path in here.root.rglob("*") if path.is_file()] == []


def test_a_read_error_in_the_middle_leaves_nothing_half_written(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open

    class Failing:
        def __init__(self, stream: object) -> None:
            self.stream = stream

        def __enter__(self) -> "Failing":
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()  # type: ignore[attr-defined]

        def readinto(self, _: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(place, "open", lambda *words, **more: Failing(opened(*words, **more)), raising=False)
    with pytest.raises(OSError, match="Input/output"):
        place_all(here.sources, here.root, TOP, tree(link="copy"))
    assert [path for path in here.root.rglob("*") if path.is_file()] == []


# --- modes and groups -------------------------------------------------------------------------------------------------


def test_folders_get_the_configured_mode_whatever_the_umask(here: Place) -> None:
    for umask in (0o077, 0o000):
        old = os.umask(umask)
        try:
            make_folder(here.root / f"a{umask}" / "b", tree(folder_mode=0o2775), here.root)
        finally:
            os.umask(old)
        for folder in (here.root / f"a{umask}", here.root / f"a{umask}" / "b"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o2775
    make_folder(here.root / "a0" / "b", tree(folder_mode=0o700), here.root)
    assert stat.S_IMODE((here.root / "a0").stat().st_mode) == 0o700


def test_the_root_itself_and_what_lies_above_is_left_alone(here: Place) -> None:
    here.root.chmod(0o711)
    make_folder(here.root / "a", tree(folder_mode=0o750), here.root)
    assert stat.S_IMODE(here.root.stat().st_mode) == 0o711


def test_a_group_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="group: this machine has no group 'nobody-has-this'"):
        group_id("nobody-has-this")
    assert group_id(None) is None


def test_a_group_that_the_user_is_not_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [1000, grp.getgrnam("tty").gr_gid])
    assert group_id("tty") == grp.getgrnam("tty").gr_gid
    with pytest.raises(ConfigError, match="group: you are not in the group 'daemon': ask to be added"):
        group_id("daemon")


def test_the_tree_is_as_the_configuration_says() -> None:
    assert Tree.of(Config({"mode": "2770", "link": "copy"})) == Tree(0o2770, 0o660, None, "copy")


def test_of_many_files_each_is_linked_and_what_belongs_to_the_folder_is_done_once(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1500):
        here.add(f"{TOP}/df5c5206_1_x{number:04d}.dat", f"many {number}", b"%d" % number)
    asked: list[object] = []
    synced: list[Path] = []

    def ioctl(*args: object) -> None:
        asked.append(args)
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(place, "sync_folder", synced.append)
    assert here.run(tree()) == {"linked": 1504}
    # What grows with the number of files is what 100,000 of them cannot afford (test_many_files_campaign.py).
    assert len(asked) == 1
    assert sorted(synced) == [here.root / TOP, here.root / TOP / "decimated"]
    assert here.run(tree()) == {"kept": 1504}
