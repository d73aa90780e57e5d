"""The resumable state on disk: whole or not at all, under a lock, secrets apart."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from ecogvault.errors import Damaged
from ecogvault.files import Locked
from ecogvault.stores.state import PartDone, Whole
from ecogvault.transfer import Secret, transfer_state

SECRET = Secret(header=b"age-encryption.org/v1\n\xff", file_key=b"k" * 16, nonce=b"n" * 16)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "df5c5206/transfer/s3/u.json", tmp_path / "private/transfer/s3/u.json"


def opened(paths, **rest):
    return transfer_state(*paths, what="the upload of df5c5206_3_vid to s3", **rest)


def test_what_was_acknowledged_is_known_to_the_next_process(paths):
    part = PartDone(etag="e", crc64nvme="0" * 16, md5=None, size=5)
    with opened(paths) as state:
        upload = state.upload("k")
        upload.begin("id", 5, "digest")
        for number in (1, 2, 3):
            upload.acknowledge(number, part)
        upload.completing(Whole("tree", "crc"))
    with opened(paths) as state:
        upload = state.upload("k")
        assert (upload.upload_id, upload.part_size, upload.digest) == ("id", 5, "digest")
        assert upload.parts == {1: part, 2: part, 3: part}
        assert upload.whole == Whole("tree", "crc")
        assert state.upload("other").upload_id is None
        upload.forget()
    with opened(paths) as state:
        assert state.upload("k").upload_id is None


def test_an_upload_that_never_began_writes_nothing(paths):
    with opened(paths) as state:
        for number in range(700):
            state.upload(f"k{number}").forget()
    assert not paths[0].exists()
    assert not paths[1].exists()


def test_many_parts_are_written_to_disk_seldom(paths, monkeypatch):
    written = []
    from ecogvault import transfer

    real = transfer.write_record
    monkeypatch.setattr(transfer, "write_record", lambda *args, **rest: (written.append(1), real(*args, **rest)))
    with opened(paths) as state:
        upload = state.upload("k")
        upload.begin("id", 5, "digest")
        for number in range(1, 1001):
            upload.acknowledge(number, PartDone("e", None, None, 5))
    assert len(written) < 20
    with opened(paths) as state:
        assert len(state.upload("k").parts) == 1000


def test_threads_that_write_several_uploads_do_not_wait_for_each_other_for_ever(paths):
    with opened(paths) as state:

        def work(key: str) -> None:
            for number in range(30):
                state.upload(key).begin(f"id{number}", 5, "digest")
                state.upload(key).acknowledge(1, PartDone("e", None, None, 5))

        threads = [threading.Thread(target=work, args=(f"k{n}",), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    with opened(paths) as state:
        assert [state.upload(f"k{n}").upload_id for n in range(4)] == ["id29"] * 4


def test_a_secret_is_on_disk_for_this_user_alone_before_it_is_used(paths):
    old = os.umask(0)
    try:
        with opened(paths) as state:
            state.keep_secret("k", SECRET, "aa")
            assert stat.S_IMODE(paths[1].stat().st_mode) == 0o600
            assert stat.S_IMODE(paths[1].parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(paths[1].parent.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(paths[1].parent.parent.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)
    with opened(paths) as state:
        assert state.secret("k", "aa") == SECRET
        assert state.secret("other", "aa") is None
    assert b"k" * 16 not in repr(SECRET).encode()


def test_a_secret_is_never_given_for_another_plaintext(paths):
    with opened(paths) as state:
        state.keep_secret("k", SECRET, "aa")
        assert state.secret("k", "bb") is None
    with opened(paths) as state:
        assert state.secret("k", "aa") is None


def test_when_all_is_done_neither_state_nor_secret_remains(paths):
    with opened(paths) as state:
        state.upload("k").begin("id", 5, "digest")
        state.keep_secret("k", SECRET, "aa")
        state.done()
    assert not paths[0].exists()
    assert not paths[1].exists()


@pytest.mark.parametrize("which", [0, 1])
def test_any_flipped_byte_is_named_with_what_to_do(paths, which):
    with opened(paths) as state:
        state.upload("k").begin("id", 5, "digest")
        state.keep_secret("k", SECRET, "aa")
    whole = paths[which].read_bytes()
    for at in range(len(whole)):
        paths[which].write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(Damaged, match=r"u\.json is damaged: remove it"), opened(paths):
            pass


def test_a_state_of_a_later_version_is_not_guessed_at(paths):
    from ecogvault.records import write_record

    paths[0].parent.mkdir(parents=True)
    write_record(paths[0], {"schema": 2, "uploads": {}})
    with pytest.raises(Damaged, match="version 2"), opened(paths):
        pass


def test_a_second_process_is_told_who_holds_the_lock(paths):
    with opened(paths):
        holder = json.loads(paths[0].with_suffix(".lock").read_bytes())
        assert holder["pid"] == os.getpid()
        with pytest.raises(Locked, match=f"df5c5206_3_vid to s3 is in use by process {os.getpid()}"):
            with opened(paths, wait=False):
                pass
    with opened(paths, wait=False):
        pass
