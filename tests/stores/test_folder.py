"""What only a folder can do, or refuse."""

import ctypes
import errno
import grp
import hashlib
import os
import shutil
import stat
import threading
from types import SimpleNamespace

import pytest
from content import META, Recorded, pattern, tree

from ecogvault.config import Destination
from ecogvault.files import NoSpace
from ecogvault.manifest import Entry
from ecogvault.naming import Unit
from ecogvault.send import files
from ecogvault.stores import Absent, BytesSource, Unknown, UploadState, open_store
from ecogvault.stores.errors import BadKey, BadSettings, BucketMissing, Denied, SourceChanged, Unreachable, WrongBytes
from ecogvault.stores.folder import FolderStore
from ecogvault.stores.pieces import MIB
from ecogvault.stores.rename import rename_without_overwriting
from ecogvault.stores.sources import InOrder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "nas"
    folder.mkdir()
    return folder


def put(store: FolderStore, key: str, data: bytes, **rest):
    rest = {"metadata": META, "state": UploadState.in_memory()} | rest
    return store.put(key, BytesSource(data), **rest)


@pytest.mark.parametrize(
    "key", ["", "/etc/x", "a/../../x", "..", "a//b", "a/./b", "a/", "nul\0l", ".k.12345678.part~", "n" * 250]
)
def test_no_key_leads_out_of_the_root(root, key):
    with pytest.raises(BadKey):
        put(FolderStore("nas", root), key, b"x")
    assert list(root.iterdir()) == []
    assert list(root.parent.iterdir()) == [root]


def test_no_link_on_the_way_is_followed(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "k").write_bytes(b"outside")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "file").symlink_to(tmp_path / "elsewhere" / "k")
    store = FolderStore("nas", root)
    for key in ("link/k", "file"):
        with pytest.raises(BadKey, match="link"):
            put(store, key, b"x")
        assert isinstance(store.head(key), Unknown)
    assert (tmp_path / "elsewhere" / "k").read_bytes() == b"outside"
    assert list(store.list()) == []


def test_a_link_in_place_of_a_file_is_not_read(root, tmp_path):
    (tmp_path / "outside").write_bytes(b"outside")
    (root / "file").symlink_to(tmp_path / "outside")
    with pytest.raises(BadKey, match="is a link"):
        b"".join(FolderStore("nas", root).get("file"))


def test_folders_get_the_mode_and_files_get_it_without_x(root):
    group = grp.getgrgid(os.getgid()).gr_name
    old = os.umask(0o077)
    try:
        put(FolderStore("nas", root, group=group, mode=0o2770), "a/b/k", b"x")
    finally:
        os.umask(old)
    for path in (root / "a", root / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o2770
    assert stat.S_IMODE((root / "a" / "b" / "k").stat().st_mode) == 0o660
    assert (root / "a" / "b" / "k").stat().st_gid == os.getgid()


def test_what_a_killed_run_has_made_and_not_opened_yet_gets_its_mode(root):
    for name, mode in (("a", 0o700), ("theirs", 0o705)):
        (root / name).mkdir()
        (root / name).chmod(mode)  # whatever the umask of this process is
    store = FolderStore("nas", root, mode=0o2770)
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset >= 16 * MIB:
            raise OSError("read error")

    data = pattern(20 * MIB)
    with pytest.raises(OSError, match="read error"):
        store.put("a/k", Recorded(data, fail), metadata=META, state=state)
    (root / "a" / str(state.upload_id)).chmod(0o600)
    store.put("a/k", BytesSource(data), metadata=META, state=state)
    put(store, "theirs/k", b"x")
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o2770
    assert stat.S_IMODE((root / "a" / "k").stat().st_mode) == 0o660
    assert stat.S_IMODE((root / "theirs").stat().st_mode) == 0o705


def test_a_group_that_is_not_there_is_explained(root):
    with pytest.raises(BadSettings, match="no group 'no-such-group'"):
        FolderStore("nas", root, group="no-such-group")


def test_a_group_that_the_user_is_not_in_is_explained(root, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    monkeypatch.setattr(os, "getgroups", lambda: [12345])
    with pytest.raises(BadSettings, match="not in group"):
        FolderStore("nas", root, group=grp.getgrgid(0).gr_name)


def test_a_folder_that_is_not_mounted_answers_unknown_and_never_absent(tmp_path):
    store = FolderStore("nas", tmp_path / "gone")
    assert isinstance(store.head("k"), Unknown)
    with pytest.raises(BucketMissing, match="mount it"):
        store.preflight()
    with pytest.raises(BucketMissing):
        list(store.list())
    with pytest.raises(BucketMissing):
        put(store, "k", b"x")
    assert not (tmp_path / "gone").exists()


def test_a_mount_point_with_nothing_mounted_lists_no_copies_as_missing(root):
    store = FolderStore("nas", root)
    with pytest.raises(BucketMissing, match="is empty, though copies were put there: mount it"):
        list(store.list("df5c5206/"))
    put(store, "k", b"x")
    assert list(store.list("df5c5206/")) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, Unreachable), (errno.EACCES, Denied)])
def test_a_read_that_fails_is_explained_and_nothing_counts_as_absent(root, monkeypatch, number, kind):
    store = FolderStore("nas", root)
    put(store, "d/k", b"x")

    def failing(*args):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        with pytest.raises(kind, match="d/k in folder .* cannot be read"):
            b"".join(store.get("d/k"))
    real = os.stat

    def gone(path, **rest):
        return failing() if path == root else real(path, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", gone)
        assert isinstance(store.head("d/k"), Unknown)
        with pytest.raises(kind):
            store.preflight()


def test_what_is_not_there_yet_must_fit_as_a_whole_before_the_first_file_is_copied(root, monkeypatch):
    destination = Destination("nas", {"type": "folder", "zone": "inside", "form": "files", "path": str(root)})
    unit = Unit.parse("df5c5206_3_edf")
    entries = [Entry(f"edf/df5c5206_3{tail}.edf", 40 * MIB, "ab" * 32) for tail in ("", "_b", "_c")]
    shipment = SimpleNamespace(store=FolderStore("nas", root), destination=destination, unit=unit, generation=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * MIB))
    with pytest.raises(NoSpace, match="nas needs 125.83 MB"):
        files._require_room(shipment, entries)
    (root / "df5c5206_edf").mkdir()
    (root / "df5c5206_edf" / "df5c5206_3.edf").write_bytes(b"there")
    files._require_room(shipment, entries)


def test_the_replaced_file_moves_to_superseded(root):
    store = FolderStore("nas", root)
    first = put(store, "d/k", b"one")
    put(store, "d/k", b"two", metadata=META | {"ecogvault-generation": "2"}, replace=first.etag)
    assert (root / "superseded/g2/d/k").read_bytes() == b"one"
    assert (root / "d/k").read_bytes() == b"two"


@pytest.mark.parametrize("stage", ["linked", "moved"])
def test_a_replacement_killed_half_way_is_finished_by_the_next_run(root, stage):
    store = FolderStore("nas", root)
    first = put(store, "d/k", b"one")
    (root / "superseded/g2/d").mkdir(parents=True)
    os.link(root / "d/k", root / "superseded/g2/d/k")
    if stage == "moved":
        (root / "d/k").unlink()
    put(store, "d/k", b"two", metadata=META | {"ecogvault-generation": "2"}, replace=first.etag)
    assert (root / "superseded/g2/d/k").read_bytes() == b"one"
    assert (root / "d/k").read_bytes() == b"two"


def test_what_was_superseded_is_never_overwritten(root):
    store = FolderStore("nas", root)
    put(store, "superseded/g2/k", b"older")
    for old, new in ((b"one", b"two"), (b"two", b"three")):  # a copy that was damaged twice
        before = put(store, "k", old)
        put(store, "k", new, metadata=META | {"ecogvault-generation": "2"}, replace=before.etag)
    kept = {place: (root / "superseded" / place / "k").read_bytes() for place in ("g2", "g2.2", "g2.3")}
    assert kept == {"g2": b"older", "g2.2": b"one", "g2.3": b"two"}
    assert (root / "k").read_bytes() == b"three"


def test_a_damaged_beginning_is_found_and_written_again(root):
    store = FolderStore("nas", root)
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset >= 16 * MIB:
            raise OSError("read error")

    data = pattern(20 * MIB)
    with pytest.raises(OSError, match="read error"):
        store.put("k", Recorded(data, fail), metadata=META, state=state)
    temporary = root / str(state.upload_id)
    with temporary.open("r+b") as stream:
        stream.seek(9 * MIB)
        stream.write(b"damage")
    stored = store.put("k", BytesSource(data), metadata=META, state=state)
    assert stored.bytes_sent == 12 * MIB
    assert (root / "k").read_bytes() == data


def test_bytes_that_the_disk_gives_back_wrongly_are_not_stored(root, monkeypatch):
    store = FolderStore("nas", root)
    fsync = os.fsync

    def corrupting(descriptor: int) -> None:
        fsync(descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.pwrite(descriptor, b"#", 5)

    monkeypatch.setattr(os, "fsync", corrupting)
    with pytest.raises(WrongBytes, match="read back"):
        put(store, "d/k", pattern(MIB))
    assert store.head("d/k") == Absent()
    assert list((root / "d").iterdir()) == []


@pytest.mark.parametrize("refused_at", [None, "open", "read"])
def test_what_was_written_is_read_back_past_the_cache_where_the_file_system_can(root, monkeypatch, refused_at):
    real_open, real_preadv = os.open, os.preadv
    direct: set[int] = set()
    read: list[bool] = []

    def opening(path, flags, *args, **rest):
        if flags & os.O_DIRECT and refused_at == "open":
            raise OSError(errno.EINVAL, "no O_DIRECT")
        descriptor = real_open(path, flags, *args, **rest)
        direct.discard(descriptor)
        if flags & os.O_DIRECT:
            direct.add(descriptor)
        return descriptor

    def reading(descriptor, *args):
        if descriptor in direct and refused_at == "read":
            raise OSError(errno.EINVAL, "no O_DIRECT")
        read.append(descriptor in direct)
        return real_preadv(descriptor, *args)

    try:
        os.close(real_open(root, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT))
        can = refused_at is None
    except OSError:
        can = False
    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "preadv", reading)
    data = pattern(5 * MIB + 77)
    assert put(FolderStore("nas", root), "k", data).sha256_tree == tree(data)
    assert read == [can, can]
    assert (root / "k").read_bytes() == data


def test_too_little_room_is_found_before_the_first_byte(root):
    class Huge:
        size = 1 << 60

        def read_into(self, offset: int, buffer: memoryview) -> None:
            raise AssertionError("nothing should be read")

    with pytest.raises(NoSpace, match="nas"):
        FolderStore("nas", root).put("k", Huge(), metadata=META, state=UploadState.in_memory())
    assert list(root.iterdir()) == []


def test_an_equal_file_that_somebody_copied_there_is_adopted_with_its_tree_hash(root):
    data = pattern(5 * MIB)
    (root / "k").write_bytes(data)
    stored = put(FolderStore("nas", root), "k", data)
    assert (stored.adopted, stored.bytes_sent, stored.sha256_tree) == (True, 0, tree(data))


def test_unfinished_copies_are_not_listed(root):
    put(FolderStore("nas", root), "k", b"x")
    (root / ".k.12345678.part~").write_bytes(b"half")
    assert [item.key for item in FolderStore("nas", root).list()] == ["k"]


def test_a_file_system_without_hard_links_still_overwrites_nothing(root, monkeypatch):
    def refused(*args, **rest):
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refused)
    (root / "old").write_bytes(b"old")
    (root / "new").write_bytes(b"new")
    folder = os.open(root, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            rename_without_overwriting(folder, "old", folder, "new")
        assert (root / "new").read_bytes() == b"new"
        rename_without_overwriting(folder, "old", folder, "third")
    finally:
        os.close(folder)
    assert sorted(path.name for path in root.iterdir()) == ["new", "third"]


def test_a_file_system_that_can_do_neither_says_so(root, monkeypatch):
    def refused(*args, **rest):
        raise OSError(errno.EPERM, "no hard links")

    def renameat2(*args):
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **rest: SimpleNamespace(renameat2=renameat2))
    with pytest.raises(OSError, match="not supported"):
        put(FolderStore("nas", root), "k", b"x")
    assert list(root.iterdir()) == []


def test_a_folder_is_opened_from_the_configuration(root):
    store = open_store(Destination("nas", {"type": "folder", "path": str(root), "mode": "2750"}), "vid")
    put(store, "a/k", b"x")
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o2750
    assert store.where == f"folder {root}"


def test_pieces_are_hashed_in_order_whoever_comes_first():
    hashed = InOrder()
    second = threading.Thread(target=hashed.update_at, args=(1000, memoryview(b"b" * 1000)), daemon=True)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    hashed.update_at(0, memoryview(b"a" * 1000))
    second.join(10)
    assert hashed.result() == (2000, hashlib.sha256(b"a" * 1000 + b"b" * 1000).hexdigest())


def test_nobody_waits_for_a_piece_that_never_comes():
    hashed = InOrder()
    hashed.fail()
    hashed.update_at(1000, memoryview(b"x"))
    assert hashed.result()[0] == 0


def test_a_file_that_is_cut_short_while_it_is_read_is_named(tmp_path):
    from ecogvault.stores import file_source

    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with file_source(path, what="df5c5206_1.edf") as source:
        os.truncate(path, 50)
        with pytest.raises(SourceChanged, match=r"df5c5206_1\.edf"):
            source.read_into(0, memoryview(bytearray(100)))
