"""What a vault promises as a store: it has no keys and adopts nothing, but every byte is confirmed, and sent once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from content import META, Recorded, pattern, tree

from ecogvault.stores import BytesSource, Stored, StoreError, UploadState, file_source
from ecogvault.stores.errors import BadKey, BadSettings, SourceChanged, Unreachable
from ecogvault.stores.glacier import VaultStore
from ecogvault.stores.glacier_types import JobGone, NotReady, Unsure
from ecogvault.stores.glacier_upload import part_size_for
from ecogvault.stores.vault_description import parse
from ecogvault.transfer import transfer_state
from vaults import HOUR, VaultServer

MIB = 1 << 20


@pytest.fixture
def vault(vaults: VaultServer) -> Iterator[str]:
    vaults.order(reset=True, faults=[])
    yield vaults.vault()
    vaults.order(faults=[])


def store_of(vaults: VaultServer, vault: str, **more: Any) -> VaultStore:
    settings = {"part_size": MIB, "connections": 3, "attempts": 3} | more
    return VaultStore("glacier", vault, endpoint_url=vaults.details["endpoint_url"], region="us-west-2", **settings)


def put(store: VaultStore, key: str, data: bytes, **rest: Any) -> Stored:
    return store.put(key, BytesSource(data), **({"metadata": META, "state": UploadState.in_memory()} | rest))


def fetched(vaults: VaultServer, store: VaultStore, archive_id: str, span: tuple[int, int] | None = None) -> bytes:
    job, _ = store.request_archive(archive_id, "the test", tier="Expedited", byte_range=span)
    vaults.pass_time(HOUR)
    state = store.job(job, "the test")
    assert state.size is not None
    return b"".join(store.output(job, "the test", 0, state.size))


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 12_345])
def test_every_size_arrives_whole_with_its_tree_hash_and_says_what_it_is(
    vaults: VaultServer, vault: str, size: int
) -> None:
    data = pattern(size)
    seen: list[int] = []
    store = store_of(vaults, vault)
    stored = put(store, "a/b c.bin", data, progress=seen.append)
    assert (stored.sha256_tree, stored.size, stored.bytes_sent, sum(seen)) == (tree(data), size, size, size)
    assert stored.archive_id is not None
    assert fetched(vaults, store, stored.archive_id) == data
    (listed,) = vaults.inventory(vault)
    said = parse(listed["ArchiveDescription"])
    assert said is not None
    assert (said.key, said.size, dict(said.metadata)) == ("a/b c.bin", size, META)
    assert list(store.unfinished()) == []


def test_an_empty_archive_and_a_part_size_that_is_no_power_of_two_are_refused(vaults: VaultServer, vault: str) -> None:
    with pytest.raises(BadKey, match="no empty archives"):
        put(store_of(vaults, vault), "k", b"")
    for size in (3 * MIB, MIB + 1, 0, 8192 * MIB):
        with pytest.raises(BadSettings, match="power of two"):
            store_of(vaults, vault, part_size=size)


def test_parts_grow_until_ten_thousand_are_enough() -> None:
    assert part_size_for(10_000 * MIB, MIB) == MIB
    assert part_size_for(10_000 * MIB + 1, MIB) == 2 * MIB
    assert part_size_for(500 * 1024 * MIB, 64 * MIB) == 64 * MIB
    assert part_size_for(10_000 * 4096 * MIB, 64 * MIB) == 4096 * MIB


@pytest.mark.parametrize(
    "percent", [pytest.param(0, marks=pytest.mark.slow), 33, pytest.param(99, marks=pytest.mark.slow)]
)
def test_a_killed_upload_goes_on_where_it_was(vaults: VaultServer, vault: str, tmp_path: Path, percent: int) -> None:
    size = 6 * MIB
    kill_at = size * percent // 100 // MIB * MIB
    state_path, secrets_path = tmp_path / "transfer" / "u.json", tmp_path / "private" / "u.json"
    script = Path(__file__).with_name("put_and_die.py")
    spec = ["glacier", vaults.details["endpoint_url"], "us-west-2", vault]
    arguments = [str(kill_at), str(size), "d/big", str(state_path), str(secrets_path), *spec]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    ended = subprocess.run([sys.executable, str(script), *arguments], env=environment, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    store = store_of(vaults, vault)
    (left,) = store.unfinished()
    assert (left.key, left.size) == ("d/big", kill_at)
    data = pattern(size)
    with transfer_state(state_path, secrets_path, what="the test", wait=False) as state:
        stored = put(store, "d/big", data, state=state.upload("d/big"))
        state.done()
    assert (stored.sha256_tree, stored.bytes_sent) == (tree(data), size - kill_at)
    assert stored.archive_id is not None
    assert fetched(vaults, store, stored.archive_id) == data
    assert list(store.unfinished()) == []


@pytest.mark.slow
def test_parts_over_several_pages_of_a_listing_are_not_sent_again(vaults: VaultServer, vault: str) -> None:
    data = pattern(60 * MIB)
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset == 58 * MIB:
            raise OSError("read error")

    with pytest.raises(OSError, match="read error"):
        store_of(vaults, vault).put("k", Recorded(data, fail), metadata=META, state=state)
    vaults.order(reset=True)
    stored = put(store_of(vaults, vault), "k", data, state=state)
    assert stored.bytes_sent <= 3 * MIB
    assert stored.sha256_tree == tree(data)
    assert vaults.counts()["ListParts"] == 2


def test_content_that_changed_between_two_attempts_is_sent_as_it_is_now(vaults: VaultServer, vault: str) -> None:
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset >= 3 * MIB:
            raise OSError("read error")

    old, new = pattern(4 * MIB), bytearray(pattern(4 * MIB))
    new[MIB + 3] ^= 1
    store = store_of(vaults, vault)
    with pytest.raises(OSError, match="read error"):
        store.put("k", Recorded(old, fail), metadata=META, state=state)
    stored = put(store, "k", bytes(new), state=state)
    assert (stored.sha256_tree, stored.bytes_sent) == (tree(bytes(new)), 2 * MIB)
    # Another description is another archive: what was begun for the old one is ended.
    with pytest.raises(OSError, match="read error"):
        store.put("k2", Recorded(old, fail), metadata=META, state=(again := UploadState.in_memory()))
    put(store, "k2", old, metadata=META | {"ecogvault-generation": "2"}, state=again)
    assert list(store.unfinished()) == []


def test_a_file_that_is_not_what_was_promised_is_not_stored(vaults: VaultServer, vault: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(pattern(3 * MIB))
    with file_source(path, what="df5c5206_3.edf", sha256_tree="00" * 32) as source:
        with pytest.raises(SourceChanged, match=r"df5c5206_3\.edf"):
            store_of(vaults, vault).put("k", source, metadata=META, state=UploadState.in_memory())
    assert list(store_of(vaults, vault).unfinished()) == []
    assert vaults.counts().get("CompleteMultipartUpload", 0) == 0


@pytest.mark.parametrize("operation", ["InitiateMultipartUpload", "UploadMultipartPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize(
    "fault",
    [
        {"error": "ThrottlingException"},
        {"error": "ServiceUnavailableException"},
        {"break": "before"},
        {"break": "answer"},
    ],
)
def test_a_fault_at_any_request_is_sat_out_and_leaves_one_archive(
    vaults: VaultServer, vault: str, operation: str, fault: dict[str, str]
) -> None:
    data = pattern(2 * MIB + 5)
    vaults.faults({"operation": operation, "count": 2, **fault})
    stored = put(store_of(vaults, vault), "k", data)
    assert [one["ArchiveId"] for one in vaults.inventory(vault)] == [stored.archive_id]


def test_a_service_that_keeps_failing_is_unreachable_and_the_next_call_goes_on(vaults: VaultServer, vault: str) -> None:
    data, state = pattern(4 * MIB), UploadState.in_memory()
    vaults.faults({"operation": "UploadMultipartPart", "error": "ThrottlingException", "after": 2, "count": 99})
    with pytest.raises(Unreachable, match="run again later"):
        put(store_of(vaults, vault, connections=1), "k", data, state=state)
    vaults.faults()
    assert put(store_of(vaults, vault), "k", data, state=state).bytes_sent == 2 * MIB


def test_an_upload_that_the_vault_forgot_is_begun_again_unless_it_was_being_completed(
    vaults: VaultServer, vault: str
) -> None:
    data, state = pattern(3 * MIB), UploadState.in_memory()
    vaults.faults({"operation": "UploadMultipartPart", "error": "AccessDeniedException", "after": 1, "count": 9})
    with pytest.raises(StoreError):
        put(store_of(vaults, vault), "k", data, state=state)
    vaults.order(faults=[], forget_uploads=vault)
    vaults.faults({"operation": "CompleteMultipartUpload", "error": "AccessDeniedException"})
    with pytest.raises(StoreError):
        put(store_of(vaults, vault), "k", data, state=state)
    vaults.order(forget_uploads=vault)
    with pytest.raises(Unsure, match="only an inventory says"):
        put(store_of(vaults, vault), "k", data, state=state)


def test_output_breaks_are_taken_up_and_flipped_bytes_are_found(vaults: VaultServer, vault: str) -> None:
    data = pattern(4 * MIB)
    store = store_of(vaults, vault)
    archive = put(store, "k", data).archive_id
    assert archive is not None
    job, _ = store.request_archive(archive, "k", tier="Expedited")
    with pytest.raises(NotReady, match="not ended yet"):
        b"".join(store.output(job, "k", 0, len(data)))
    vaults.pass_time(HOUR)
    vaults.faults({"operation": "GetJobOutput", "break": "body", "count": 3})
    assert b"".join(store.output(job, "k", 0, len(data))) == data
    assert b"".join(store.output(job, "k", MIB + 5, len(data))) == data[MIB + 5 :]
    vaults.faults({"operation": "GetJobOutput", "break": "flip"})
    with pytest.raises(StoreError, match="not what the service confirms"):
        b"".join(store.output(job, "k", 0, len(data)))
    vaults.pass_time(25 * HOUR)
    with pytest.raises(JobGone, match="expired, as it does after 24 hours"):
        b"".join(store.output(job, "k", 0, len(data)))


def test_one_range_comes_back(vaults: VaultServer, vault: str) -> None:
    data = pattern(4 * MIB + 9)
    store = store_of(vaults, vault)
    archive = put(store, "k", data).archive_id
    assert archive is not None
    assert fetched(vaults, store, archive, (MIB, 3 * MIB - 1)) == data[MIB : 3 * MIB]
    assert fetched(vaults, store, archive, (4 * MIB, len(data) - 1)) == data[4 * MIB :]


def test_what_an_interrupted_put_leaves_can_be_removed(vaults: VaultServer, vault: str) -> None:
    def fail(offset: int) -> None:
        if offset >= 2 * MIB:
            raise OSError("read error")

    store = store_of(vaults, vault)
    for key in ("d/k", "d/k", "d/k2"):
        with pytest.raises(OSError, match="read error"):
            store.put(key, Recorded(pattern(3 * MIB), fail), metadata=META, state=UploadState.in_memory())
    assert store.abort_unfinished("d/k") == 2
    assert [one.key for one in store.unfinished()] == ["d/k2"]
    assert store.abort_unfinished("d/k") == 0
