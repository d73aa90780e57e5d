"""Parts that the service copies from an object that it has: only what is new travels, and what arrives is right."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from content import META, Recorded, pattern, tree
from places import PART, Server

from ecogvault.stores import KeyTaken, Origin, Present, UploadState
from ecogvault.stores.base import Stored
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3 import S3Store
from ecogvault.transfer import transfer_state

NEW_META = META | {"ecogvault-generation": "2"}
PAYLOAD = 3 * PART - MIB
OLD_HEADER, NEW_HEADER = 377, 412


def headed(length: int, seed: int) -> bytes:
    """A header of `length` bytes and the payload that all have."""
    return pattern(length, seed=seed) + pattern(PAYLOAD, seed=7)


class Resealed(Recorded):
    """The new content, which ends as `origin` does."""

    def __init__(self, data: bytes, origin: Origin, at: Callable[[int], None] | None = None) -> None:
        super().__init__(data, at)
        self.origin = origin


def older(store: S3Store, length: int = OLD_HEADER, new: int = NEW_HEADER) -> Origin:
    """The object of the generation before, stored under `old`."""
    data = headed(length, seed=1)
    there = store.put("old", Recorded(data), metadata=META, state=UploadState.in_memory())
    assert there.etag
    return Origin(store.bucket, "old", there.version_id, there.etag, len(data), length, new)


def put(store: S3Store, source: Recorded, **rest: Any) -> Stored:
    rest = {"metadata": NEW_META, "state": UploadState.in_memory()} | rest
    return store.put("new", source, **rest)


def content(server: Server, store: S3Store, key: str) -> bytes:
    return bytes(server.client.get_object(Bucket=store.bucket, Key=key)["Body"].read())


def require_whole(server: Server, store: S3Store, stored: Stored, data: bytes) -> None:
    """What is there is `data`, the service says so itself, and nothing unfinished is left."""
    assert content(server, store, "new") == data
    present = store.head("new")
    assert isinstance(present, Present)
    assert (present.checksum, present.etag, present.version_id) == (stored.crc64nvme, stored.etag, stored.version_id)
    assert stored.crc64nvme is not None
    assert stored.sha256_tree == tree(data)
    assert dict(present.metadata) == NEW_META
    assert "Uploads" not in server.client.list_multipart_uploads(Bucket=store.bucket)


def on_copying(store: S3Store, event: str, act: Callable[..., Any]) -> None:
    """Have `act` called at an event of the client's (before-call, after-call) of each request for a copy."""
    events: Any = store._client.meta.events
    events.register(f"{event}.s3.UploadPartCopy", act)


@pytest.mark.parametrize(("versioned", "before", "now"), [(True, 377, 412), (False, 3000, 377)])
def test_only_the_first_part_is_sent_and_the_rest_is_copied_in_the_service(server, versioned, before, now):
    store = server.store(server.bucket(versioned=versioned))
    origin = older(store, before, now)
    data = headed(now, seed=2)
    done: list[int] = []
    stored = put(store, Resealed(data, origin), progress=done.append)
    assert (stored.bytes_sent, stored.adopted, stored.part_size) == (PART, False, PART)
    assert sum(done) == len(data)
    require_whole(server, store, stored, data)
    assert content(server, store, "old") == headed(before, seed=1)
    present = store.head("old")
    assert isinstance(present, Present)
    assert (present.etag, present.version_id) == (origin.etag, origin.version_id)
    again = put(store, Resealed(data, origin))
    assert (again.adopted, again.bytes_sent) == (True, 0)
    with pytest.raises(KeyTaken):
        put(store, Resealed(data, origin), metadata=NEW_META | {"ecogvault-generation": "3"})


def test_the_version_that_is_meant_is_copied_though_another_lies_over_it(server):
    store = server.store(server.bucket())
    origin = older(store)
    server.client.put_object(Bucket=store.bucket, Key="old", Body=b"another")
    data = headed(NEW_HEADER, seed=2)
    stored = put(store, Resealed(data, origin))
    assert stored.bytes_sent == PART
    require_whole(server, store, stored, data)


@pytest.mark.parametrize("kill_in_part", [1, 3])
def test_a_killed_upload_goes_on_and_copies_nothing_twice(server, tmp_path, kill_in_part):
    store = server.store(server.bucket())
    origin = older(store)
    state_path, secrets_path = tmp_path / "transfer" / "u.json", tmp_path / "private" / "u.json"
    script = Path(__file__).with_name("copy_and_die.py")
    arguments = [str((kill_in_part - 1) * PART), str(state_path), str(secrets_path), server.endpoint_url, server.region]
    words = [str(one) for one in dataclasses.astuple(origin)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    command = [sys.executable, str(script), *arguments, *words]
    ended = subprocess.run(command, env=environment, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    data = headed(NEW_HEADER, seed=2)
    copied: list[int] = []
    on_copying(store, "before-call", lambda params, **_: copied.append(params["query_string"]["partNumber"]))
    with transfer_state(state_path, secrets_path, what="the test", wait=False) as state:
        stored = store.put("new", Resealed(data, origin), metadata=NEW_META, state=state.upload("new"))
        state.done()
    assert stored.bytes_sent == (PART if kill_in_part == 1 else 0)
    assert sorted(copied) == list(range(max(2, kill_in_part), 4))
    require_whole(server, store, stored, data)
    assert content(server, store, "old") == headed(OLD_HEADER, seed=1)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "InvalidObjectState"), (403, "AccessDenied"), (501, "NotImplemented"), (404, "NoSuchKey")],
)
def test_what_the_service_refuses_to_copy_is_sent(server, caplog, status, code):
    place = {"endpoint_url": server.endpoint_url, "region": server.region}
    store = S3Store("s3", server.bucket(), **place, part_size=PART, connections=1)
    origin = older(store)
    data = headed(NEW_HEADER, seed=2)
    asked: list[int] = []

    class Refused:
        status_code = status

    def refuse(**_: object) -> Any:
        asked.append(1)
        return Refused(), {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}

    on_copying(store, "before-call", refuse)
    stored = put(store, Resealed(data, origin))
    assert stored.bytes_sent == len(data)
    assert asked == [1]  # and not again for the other parts
    (said,) = [record.getMessage() for record in caplog.records if "is sent, not copied" in record.getMessage()]
    assert code in said
    require_whole(server, store, stored, data)


@pytest.mark.parametrize("change", ["etag", "version", "bytes", "bytes, at the same place"])
def test_what_is_not_as_it_was_is_never_copied_into_the_new_object(server, caplog, change):
    store = server.store(server.bucket())
    origin = older(store)
    data = headed(NEW_HEADER, seed=2)
    if change == "etag":
        origin = dataclasses.replace(origin, etag="0" * 32 + "-3")
    elif change == "version":
        origin = dataclasses.replace(origin, version_id="0" * 32)
    elif change == "bytes":
        origin = dataclasses.replace(origin, offset=origin.offset + 1, size=origin.size + 1)
    else:  # damage that the service does not know of, as it looks from here
        data = data[: 2 * PART] + bytes([data[2 * PART] ^ 1]) + data[2 * PART + 1 :]
    stored = put(store, Resealed(data, origin))
    assert PART < stored.bytes_sent <= len(data)
    assert any("is sent, not copied from old" in record.getMessage() for record in caplog.records)
    require_whole(server, store, stored, data)


def test_a_copy_that_the_service_does_not_confirm_counts_for_nothing(server):
    store = server.store(server.bucket())
    origin = older(store)
    data = headed(NEW_HEADER, seed=2)

    def silence(parsed: dict[str, Any], **_: object) -> None:
        parsed["CopyPartResult"].pop("ChecksumCRC64NVME")
        parsed["CopyPartResult"]["ETag"] = '"' + "0" * 32 + '"'

    on_copying(store, "after-call", silence)
    stored = put(store, Resealed(data, origin))
    assert stored.bytes_sent == len(data)
    require_whole(server, store, stored, data)


def test_an_md5_confirms_a_copy_where_there_is_no_crc(server):
    store = server.store(server.bucket())
    origin = older(store)
    data = headed(NEW_HEADER, seed=2)
    on_copying(store, "after-call", lambda parsed, **_: parsed["CopyPartResult"].pop("ChecksumCRC64NVME"))
    stored = put(store, Resealed(data, origin))
    assert stored.bytes_sent == PART
    require_whole(server, store, stored, data)


def test_an_upload_that_somebody_ended_is_begun_again(server):
    store = server.store(server.bucket())
    origin = older(store)
    data = headed(NEW_HEADER, seed=2)
    ended: list[int] = []
    once = threading.Lock()

    def end(**_: object) -> None:
        if once.acquire(blocking=False):
            ended.append(store.abort_unfinished("new"))

    on_copying(store, "before-call", end)
    stored = put(store, Resealed(data, origin))
    assert ended == [1]
    require_whole(server, store, stored, data)


@pytest.mark.parametrize("wrong", ["bucket", "size"])
def test_nothing_is_asked_of_an_origin_that_does_not_fit(server, wrong):
    store = server.store(server.bucket())
    origin = older(store)
    bad = {"bucket": {"bucket": server.bucket()}, "size": {"size": origin.size + 1}}[wrong]
    data = headed(NEW_HEADER, seed=2)
    asked: list[int] = []
    on_copying(store, "before-call", lambda **_: asked.append(1))
    stored = put(store, Resealed(data, dataclasses.replace(origin, **bad)))
    assert (stored.bytes_sent, asked) == (len(data), [])
    require_whole(server, store, stored, data)
