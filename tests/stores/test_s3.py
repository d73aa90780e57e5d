"""What only an S3 bucket can do, or refuse."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from content import META, Recorded, pattern, tree
from places import PART

from ecogvault.config import Destination
from ecogvault.stores import Absent, BytesSource, KeyTaken, Present, StoreError, Unknown, UploadState, open_store
from ecogvault.stores.errors import BadSettings, BucketMissing, NoCredentials, NotFound, Unreachable, WrongBytes
from ecogvault.stores.parts import part_size_for
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3 import S3Store
from ecogvault.stores.s3_upload import MAX_PARTS
from listener import Listener


class Proxy(Listener):
    """A loopback proxy that passes bytes on, changes them on the way to the server, and breaks connections."""

    def __init__(self, endpoint_url: str) -> None:
        self.cut_answers_after: list[int] = []
        self.forge: list[tuple[bytes, bytes]] = []
        self.forge_answers: list[tuple[bytes, bytes]] = []
        self.lose_answers_to: list[bytes] = []
        self.cuts = self.forged = self.lost = 0
        self.requests: list[bytes] = []
        super().__init__(endpoint_url)

    def take(self, client: socket.socket) -> None:
        passed, last = 0, b""
        with client, socket.create_connection(self.upstream) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    if one is client:
                        if data[:4] in (b"GET ", b"PUT ", b"POST", b"HEAD", b"DELE"):
                            last = data.split(b"\r\n", 1)[0]
                            self.requests.append(last)
                        if self.forge and self.forge[0][0] in data:
                            data = data.replace(*self.forge.pop(0), 1)
                            self.forged += 1
                        server.sendall(data)
                        continue
                    if self.forge_answers and self.forge_answers[0][0].lower() in data.lower():
                        old, new = self.forge_answers.pop(0)
                        at = data.lower().index(old.lower())
                        data = data[:at] + new + data[at + len(old) :]
                    right = b" 200 " in data[:20] or b" 201 " in data[:20]
                    if self.lose_answers_to and last.startswith(self.lose_answers_to[0]) and right:
                        self.lose_answers_to.pop(0)
                        self.lost += 1
                        return
                    passed += len(data)
                    client.sendall(data)
                    if self.cut_answers_after and passed > self.cut_answers_after[0]:
                        self.cut_answers_after.pop(0)
                        self.cuts += 1
                        return


@contextmanager
def proxied(endpoint_url: str) -> Iterator[Proxy]:
    proxy = Proxy(endpoint_url)
    try:
        yield proxy
    finally:
        proxy.close()


def put(store: S3Store, key: str, data: bytes, **rest):
    rest = {"metadata": META, "state": UploadState.in_memory()} | rest
    return store.put(key, BytesSource(data), **rest)


def test_a_part_is_never_larger_than_needed_and_there_are_never_more_than_10000():
    assert part_size_for(1, 16 * MIB, MAX_PARTS) == 16 * MIB
    assert part_size_for(10_000 * 16 * MIB, 16 * MIB, MAX_PARTS) == 16 * MIB
    for size in (10_000 * 16 * MIB + 1, 500_000_000_000, 5 * 1024**4):
        part = part_size_for(size, 16 * MIB, MAX_PARTS)
        assert part % MIB == 0
        assert -(-size // part) <= MAX_PARTS
        assert -(-size // (part - MIB)) > MAX_PARTS


def test_the_service_confirms_the_crc64nvme_that_a_later_head_tells(server):
    store = server.store(server.bucket())
    for key, size in (("small", 1000), ("large", 11 * MIB + 5)):
        stored = put(store, key, pattern(size))
        present = store.head(key)
        assert isinstance(present, Present)
        assert stored.crc64nvme is not None
        assert (present.checksum, present.version_id) == (stored.crc64nvme, stored.version_id)
        assert dict(present.metadata) == META


def test_an_object_with_other_metadata_of_ours_is_not_adopted(server):
    store = server.store(server.bucket())
    put(store, "k", b"one")
    with pytest.raises(KeyTaken):
        put(store, "k", b"one", metadata=META | {"ecogvault-generation": "2"})


def test_nothing_is_replaced_in_a_bucket_that_keeps_no_versions(server):
    bucket = server.bucket(versioned=False)
    store = server.store(bucket)
    etag = put(store, "k", b"one").etag
    with pytest.raises(KeyTaken, match="versioning"):
        put(store, "k", b"two", metadata=META | {"ecogvault-generation": "2"}, replace=etag)
    assert b"".join(store.get("k")) == b"one"


def test_an_older_version_can_still_be_read(server):
    store = server.store(server.bucket())
    first = put(store, "k", b"one")
    put(store, "k", b"two", metadata=META | {"ecogvault-generation": "2"}, replace=first.etag)
    assert b"".join(store.get("k")) == b"two"
    assert b"".join(store.get("k", version_id=first.version_id)) == b"one"


def test_an_upload_killed_after_completion_is_adopted_with_its_digests(server):
    store = server.store(server.bucket())
    data = pattern(11 * MIB)
    state = UploadState.in_memory()
    forgotten = state.forget
    # As if the process had ended between the service's answer and the receipt.
    state.forget = lambda: None  # type: ignore[method-assign]
    put(store, "k", data, state=state)
    state.forget = forgotten  # type: ignore[method-assign]
    again = put(store, "k", data, state=state)
    assert (again.adopted, again.bytes_sent, again.sha256_tree) == (True, 0, tree(data))
    assert state.upload_id is None


def test_an_upload_that_the_service_has_thrown_away_starts_again(server):
    bucket = server.bucket()
    store = server.store(bucket)
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset >= 10 * MIB:
            raise OSError("read error")

    data = pattern(15 * MIB)
    with pytest.raises(OSError, match="read error"):
        store.put("k", Recorded(data, fail), metadata=META, state=state)
    assert len(state.parts) == 2
    server.client.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=state.upload_id)
    assert put(store, "k", data, state=state).bytes_sent == len(data)


def test_parts_known_only_to_the_service_are_recognised_by_their_md5(server):
    bucket = server.bucket()
    store = server.store(bucket)
    state = UploadState.in_memory()

    def fail(offset: int) -> None:
        if offset >= 10 * MIB:
            raise OSError("read error")

    data = pattern(15 * MIB)
    with pytest.raises(OSError, match="read error"):
        store.put("k", Recorded(data, fail), metadata=META, state=state)
    # As after a kill before the state was saved; the service also lists one part twice.
    state.parts.clear()
    part = {"PartNumber": 1, "Body": data[: 5 * MIB], "ChecksumAlgorithm": "CRC64NVME"}
    server.client.upload_part(Bucket=bucket, Key="k", UploadId=state.upload_id, **part)
    stored = put(store, "k", data, state=state)
    assert stored.bytes_sent == 5 * MIB
    assert b"".join(store.get("k")) == data


def test_another_content_under_the_same_state_ends_the_old_upload(server):
    bucket = server.bucket()
    store = server.store(bucket)
    state = UploadState.in_memory()
    state.begin(server.client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"], 5 * MIB, "another")
    put(store, "k", pattern(11 * MIB), state=state)
    assert "Uploads" not in server.client.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("size", [1000, 11 * MIB])
def test_bytes_changed_on_the_way_to_the_service_are_sent_again(server, size):
    marker = b"MARKER-IN-THE-BODY"
    data = pattern(size - len(marker)) + marker
    bucket = server.bucket()
    with proxied(server.endpoint_url) as proxy:
        proxy.forge = [(marker, b"MARKER-IN-THE-B0DY")]
        store = server.store(bucket, endpoint_url=proxy.endpoint_url)
        put(store, "k", data)
        assert proxy.forged == 1
    assert b"".join(server.store(bucket).get("k")) == data


def test_bytes_changed_on_the_way_every_time_are_refused(server):
    bucket = server.bucket()
    with proxied(server.endpoint_url) as proxy:
        proxy.forge = [(b"MARKER-IN-THE-BODY", b"MARKER-IN-THE-B0DY")] * 20
        with pytest.raises(StoreError, match="k in bucket"):
            put(server.store(bucket, endpoint_url=proxy.endpoint_url), "k", b"MARKER-IN-THE-BODY")
        assert proxy.forged >= 3
    assert server.store(bucket).head("k") == Absent()


@pytest.mark.parametrize("size", [3 * MIB, 11 * MIB])
def test_a_download_goes_on_where_the_connection_broke(server, size):
    data = pattern(size)
    bucket = server.bucket()
    put(server.store(bucket), "k", data)
    with proxied(server.endpoint_url) as proxy:
        proxy.cut_answers_after = [MIB + 77, 300_000, 100]
        store = server.store(bucket, endpoint_url=proxy.endpoint_url)
        assert b"".join(store.get("k")) == data
        assert proxy.cuts == 3
        assert sum(line.startswith(b"GET ") for line in proxy.requests) >= 3


def test_wrong_bytes_from_the_service_are_named(server, monkeypatch):
    bucket = server.bucket()
    store = server.store(bucket)
    put(store, "k", pattern(3 * MIB))
    monkeypatch.setattr("ecogvault.stores.s3.crc64nvme", lambda data, before=0: 1)
    with pytest.raises(WrongBytes, match="k in bucket"):
        b"".join(store.get("k"))


@pytest.mark.parametrize(("size", "request_line"), [(1000, b"PUT /"), (11 * MIB, b"POST /")])
def test_a_lost_answer_to_the_last_request_is_no_failure(server, size, request_line):
    bucket = server.bucket()
    data = pattern(size)
    with proxied(server.endpoint_url) as proxy:
        store = server.store(bucket, endpoint_url=proxy.endpoint_url)
        # Of a multipart upload, the first POST begins it: that one's answer may be lost as well.
        proxy.lose_answers_to = [request_line] * (1 if size < PART else 2)
        stored = put(store, "k", data)
        assert proxy.lose_answers_to == []
    assert b"".join(server.store(bucket).get("k")) == data
    assert (stored.sha256_tree, stored.bytes_sent) == (tree(data), size)
    assert "Uploads" not in server.client.list_multipart_uploads(Bucket=bucket)


def test_a_missing_bucket_is_named_and_nothing_in_it_counts_as_absent(server):
    store = server.store("no-such-bucket")
    with pytest.raises(BucketMissing, match="no-such-bucket does not exist: create it"):
        store.preflight()
    head = store.head("k")
    assert isinstance(head, Unknown)
    assert "no-such-bucket" in head.reason
    with pytest.raises(BucketMissing):
        put(store, "k", b"x")


def test_missing_credentials_are_explained(server, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = server.store("any")
    with pytest.raises(NoCredentials, match="aws configure"):
        store.preflight()
    assert isinstance(store.head("k"), Unknown)


def test_a_profile_that_does_not_exist_is_explained(server, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(NoCredentials, match="AWS_PROFILE"):
        server.store("any")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_explained_also_where_the_answer_has_no_body(server, monkeypatch, name):
    bucket = server.bucket()
    monkeypatch.setenv(name, "wrong")
    store = server.store(bucket)
    with pytest.raises(NoCredentials, match="access key"):
        store.preflight()
    head = store.head("k")
    assert isinstance(head, Unknown)
    assert "access key" in head.reason
    with pytest.raises(NoCredentials):
        put(store, "k", b"x")


def test_a_server_that_is_down_makes_every_answer_unknown(server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    store = server.store("any", endpoint_url=address, attempts=2)
    with pytest.raises(Unreachable, match="cannot be reached"):
        store.preflight()
    assert isinstance(store.head("k"), Unknown)
    with pytest.raises(Unreachable):
        put(store, "k", b"x")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("RequestTimeTooSkewed", 403, "clock"),
        ("AccessDenied", 403, "s3:PutObject"),
        ("InvalidObjectState", 403, "archived"),
        ("PermanentRedirect", 301, "region"),
        ("ExpiredToken", 400, "expired"),
        ("SlowDown", 503, "throttles"),
        ("NoSuchKey", 404, "does not exist"),
    ],
)
def test_what_the_service_says_is_explained(code, status, said):
    from botocore.exceptions import ClientError

    from ecogvault.stores.s3_client import explain

    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    text = str(explain(ClientError(answer, "PutObject"), "b", "df5c5206/k"))
    assert said in text
    assert "bucket b" in text
    assert "\n" not in text


def test_403_is_asked_once_and_not_retried(server, monkeypatch):
    bucket = server.bucket()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with proxied(server.endpoint_url) as proxy:
        with pytest.raises(NoCredentials):
            server.store(bucket, endpoint_url=proxy.endpoint_url, attempts=5).preflight()
        assert len(proxy.requests) == 1


def test_404_is_an_answer_and_not_retried(server):
    bucket = server.bucket()
    with proxied(server.endpoint_url) as proxy:
        store = server.store(bucket, endpoint_url=proxy.endpoint_url, attempts=5)
        store.preflight()
        proxy.requests.clear()
        assert store.head("k") == Absent()
        with pytest.raises(NotFound, match="k in bucket"):
            b"".join(store.get("k"))
        assert len(proxy.requests) == 2


def test_a_small_new_object_costs_two_requests(server):
    bucket = server.bucket()
    with proxied(server.endpoint_url) as proxy:
        store = server.store(bucket, endpoint_url=proxy.endpoint_url)
        store.preflight()
        proxy.requests.clear()
        put(store, "k", b"content")
        assert [line.split()[0] for line in proxy.requests] == [b"HEAD", b"PUT"]


def test_a_store_is_opened_from_the_configuration(server):
    bucket = server.bucket()
    settings = {
        "type": "s3",
        "bucket": {"vid": bucket, "edf": "other"},
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "part_size_mib": 8,
    }
    store = open_store(Destination("s3", settings), "vid")
    store.preflight()
    assert store.where == f"bucket {bucket}"
    with pytest.raises(BadSettings, match="part_size_mib"):
        open_store(Destination("s3", settings | {"part_size_mib": 4}), "vid")
    with pytest.raises(BadSettings, match="tape"):
        open_store(Destination("cold", {"type": "tape"}), "vid")
