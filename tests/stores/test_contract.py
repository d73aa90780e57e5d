"""What every store promises, on real servers."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from content import META, Recorded, pattern, tree
from places import Bucket

from ecogvault.stores import Absent, BytesSource, KeyTaken, Present, Stored, StoreError, UploadState, file_source
from ecogvault.stores.errors import NotFound, SourceChanged
from ecogvault.stores.pieces import MIB
from ecogvault.transfer import transfer_state


def put(place, key: str, data: bytes, **rest) -> Stored:
    rest = {"metadata": META, "state": UploadState.in_memory()} | rest
    return place.store().put(key, BytesSource(data), **rest)


@pytest.mark.parametrize("parts", ["0", "1", "part-1", "part", "part+1", "2 parts", "3 parts and a bit"])
def test_every_size_arrives_whole_with_its_tree_hash(place, parts):
    size = {
        "0": 0,
        "1": 1,
        "part-1": place.part - 1,
        "part": place.part,
        "part+1": place.part + 1,
        "2 parts": 2 * place.part,
        "3 parts and a bit": 3 * place.part + 12_345,
    }[parts]
    data = pattern(size)
    seen: list[int] = []
    stored = put(place, "a/b.bin", data, progress=seen.append)
    assert place.content("a/b.bin") == data
    assert stored.sha256_tree == tree(data)
    assert (stored.size, stored.bytes_sent, stored.adopted, sum(seen)) == (size, size, False, size)
    assert b"".join(place.store().get("a/b.bin")) == data
    present = place.store().head("a/b.bin")
    assert isinstance(present, Present)
    assert (present.size, present.etag) == (size, stored.etag)
    assert place.unfinished() == 0


@pytest.mark.parametrize("key", ["a b/c d.txt", "ä/日本 ü.bin", "plus+and%20/100%.x", "q?x=1&y#z", "~tilde/'quote'.e"])
def test_a_key_with_blanks_signs_and_utf8_is_kept_as_it_is(place, key):
    put(place, key, b"content")
    assert place.content(key) == b"content"
    assert [item.key for item in place.store().list()] == [key]
    assert b"".join(place.store().get(key, 2, 3)) == b"nte"


def test_a_range_is_the_bytes_asked_for(place):
    data = pattern(place.part + MIB)
    put(place, "k/r", data)
    store = place.store()
    for offset, length in [(0, 1), (place.part - 7, 14), (MIB, None), (5, 0), (len(data) - 1, 1)]:
        end = None if length is None else offset + length
        assert b"".join(store.get("k/r", offset, length)) == data[offset:end]


def test_an_object_that_is_not_there_is_absent_and_cannot_be_read(place):
    assert place.store().head("no/such") == Absent()
    with pytest.raises(NotFound, match="no/such"):
        b"".join(place.store().get("no/such"))


@pytest.mark.parametrize("pages", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_listing_has_every_key_below_its_prefix_over_several_pages(place, pages):
    count = place.page + 50 if pages == 1 else 3_050
    wanted = [f"p/{n % 7}/{n:05d}" for n in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: place.plant(key, key.encode()), [*wanted, "q/other"]))
    store = place.store()
    assert sorted(item.key for item in store.list("p/")) == sorted(wanted)
    assert sorted(item.key for item in store.list("p/3/000")) == sorted(k for k in wanted if k.startswith("p/3/000"))
    assert {item.size for item in store.list("p/")} == {9}
    listed = {item.key: item.etag for item in store.list("q")}
    present = store.head("q/other")
    assert isinstance(present, Present)
    assert listed == {"q/other": present.etag}


@pytest.mark.parametrize("parts", [0.5, 2.5])
def test_equal_content_of_ours_is_adopted_and_nothing_is_sent(place, parts):
    data = pattern(int(parts * place.part))
    first = put(place, "k", data)
    again = put(place, "k", data)
    assert (again.adopted, again.bytes_sent, again.etag, again.size) == (True, 0, first.etag, first.size)


@pytest.mark.parametrize("parts", [0.5, 2.5])
def test_a_key_taken_by_other_content_is_refused_and_left_alone(place, parts):
    place.plant("d/k", b"somebody else's")
    with pytest.raises(KeyTaken, match="d/k"):
        put(place, "d/k", pattern(int(parts * place.part)))
    assert place.content("d/k") == b"somebody else's"
    assert place.unfinished() == 0


def test_the_caller_may_decide_what_is_the_same(place):
    place.plant("k", b"x" * 10)
    stored = put(place, "k", b"y" * 10, same=lambda present: present.size == 10)
    assert (stored.adopted, stored.sha256_tree) == (True, "")
    assert place.content("k") == b"x" * 10


@pytest.mark.parametrize("parts", [0.5, 2.5])
def test_only_the_content_that_was_meant_is_replaced(place, parts):
    old, new = pattern(place.part, seed=1), pattern(int(parts * place.part), seed=2)
    etag = put(place, "d/k", old).etag
    later = META | {"ecogvault-generation": "2"}
    with pytest.raises(KeyTaken):
        put(place, "d/k", new, metadata=later)
    with pytest.raises(KeyTaken):
        put(place, "d/k", new, metadata=later, replace="0" * 32)
    assert place.content("d/k") == old
    stored = put(place, "d/k", new, metadata=later, replace=etag)
    assert place.content("d/k") == new
    assert (stored.adopted, stored.bytes_sent) == (False, len(new))
    assert place.unfinished() == 0


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "different"])
@pytest.mark.parametrize("parts", [0.5, 3.5])
def test_of_two_writers_at_once_one_wins_and_the_other_adopts_or_is_refused(place, parts, equal):
    size = int(parts * place.part)
    contents = [pattern(size, seed=1), pattern(size, seed=1 if equal else 2)]
    metadata = [META, META if equal else META | {"ecogvault-unit": "df5c5206_4_vid"}]
    barrier = threading.Barrier(2)

    def write(which: int) -> Stored | StoreError:
        # Both have looked and found nothing when they begin to read.
        met: list[int] = []

        def meet(offset: int) -> None:
            if offset == 0 and not met:
                met.append(barrier.wait(60))

        source = Recorded(contents[which], meet)
        try:
            return place.store().put("k", source, metadata=metadata[which], state=UploadState.in_memory())
        except KeyTaken as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(write, [0, 1]))
    winners = [n for n, result in enumerate(results) if isinstance(result, Stored) and not result.adopted]
    assert place.content("k") in [contents[n] for n in winners]
    assert place.unfinished() == 0
    if isinstance(place, Bucket) and parts > 1 and len(winners) == 2:
        # SeaweedFS 4.48 checks the condition of CompleteMultipartUpload before it takes its lock, so that both may
        # pass (PutObject is exact). Then both are there as versions, and no content has vanished.
        for n in winners:
            version = results[n].version_id
            assert b"".join(place.store().get("k", version_id=version)) == contents[n]
        return
    assert len(winners) == 1
    loser = results[1 - winners[0]]
    assert (isinstance(loser, Stored) and loser.adopted) if equal else isinstance(loser, KeyTaken)


@pytest.mark.parametrize("percent", [0, 33, 99])
def test_a_killed_upload_goes_on_where_it_was(place, tmp_path, percent):
    parts = 6
    size = parts * place.part
    kill_at = size * percent // 100
    if kill_at % place.part:
        kill_at -= kill_at % place.part
    state_path, secrets_path = tmp_path / "transfer" / "u.json", tmp_path / "private" / "u.json"
    script = Path(__file__).with_name("put_and_die.py")
    arguments = [str(kill_at), str(size), "d/big", str(state_path), str(secrets_path), *place.spec]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    ended = subprocess.run([sys.executable, str(script), *arguments], env=environment, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert place.store().head("d/big") == Absent()
    assert place.unfinished() == (1 if place.named or kill_at else 0)

    data = pattern(size)
    with transfer_state(state_path, secrets_path, what="the test", wait=False) as state:
        stored = place.store().put("d/big", BytesSource(data), metadata=META, state=state.upload("d/big"))
        state.done()
    assert place.content("d/big") == data
    assert stored.sha256_tree == tree(data)
    # What was acknowledged before the kill is not sent again.
    assert stored.bytes_sent == size - kill_at
    assert place.unfinished() == 0
    assert not state_path.exists()


def test_content_that_changed_between_two_attempts_is_sent_as_it_is_now(place):
    size = 4 * place.part
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset >= 3 * place.part:
            raise OSError("read error")

    old, new = pattern(size), bytearray(pattern(size))
    new[place.part + 3] ^= 1
    with pytest.raises(OSError, match="read error"):
        place.store().put("k", Recorded(old, fail), metadata=META, state=state)
    stored = place.store().put("k", BytesSource(bytes(new)), metadata=META, state=state)
    assert place.content("k") == bytes(new)
    assert stored.sha256_tree == tree(bytes(new))
    assert place.unfinished() == 0


@pytest.mark.parametrize("parts", [0.5, 3.5])
def test_a_file_that_is_not_what_was_promised_is_not_stored(place, tmp_path, parts):
    path = tmp_path / "f"
    path.write_bytes(pattern(int(parts * place.part)))
    with file_source(path, what="df5c5206_3.edf", sha256="00" * 32) as source:
        with pytest.raises(SourceChanged, match=r"df5c5206_3\.edf"):
            place.store().put("k", source, metadata=META, state=UploadState.in_memory())
    assert place.store().head("k") == Absent()
    assert place.unfinished() == 0


def test_a_file_that_grows_while_it_is_sent_is_not_stored(place, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(pattern(3 * place.part))
    with file_source(path, what="df5c5206_3.edf") as source:
        with path.open("ab") as stream:
            stream.write(b"more")
        with pytest.raises(SourceChanged):
            place.store().put("k", source, metadata=META, state=UploadState.in_memory())
    assert place.store().head("k") == Absent()


def test_what_an_interrupted_put_leaves_can_be_removed(place):
    def fail(offset: int) -> None:
        if offset >= 4 * place.part:
            raise OSError("read error")

    for _ in range(2):
        source = Recorded(pattern(5 * place.part), fail)
        with pytest.raises(OSError, match="read error"):
            place.store().put("d/k", source, metadata=META, state=UploadState.in_memory())
    put(place, "d/k2", b"other")
    left = 2 if place.named else 1
    assert place.unfinished() == left
    assert place.store().abort_unfinished("d/k") == left
    assert place.unfinished() == 0
    assert place.store().abort_unfinished("d/k") == 0
