"""Small objects of which there are many: sent with little ado, and by the client whenever that is not enough."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from content import META, pattern, tree
from test_s3 import proxied, put

from ecogvault.stores import KeyTaken, Present
from ecogvault.stores.errors import NoCredentials
from ecogvault.stores.pace import Pace
from ecogvault.stores.s3 import S3Store
from ecogvault.stores.s3_client import make_client
from ecogvault.stores.s3_options import Options
from ecogvault.stores.s3_quick import QuickPuts


def listed(store: S3Store) -> Counter[str]:
    """A store that has looked ahead, and what its client is asked from then on."""
    store.look_ahead("a/")
    asked: Counter[str] = Counter()
    store._client.meta.events.register("before-call.s3", lambda model, **rest: asked.update([model.name]))
    return asked


def test_an_object_sent_so_is_as_one_that_the_client_sends(server):
    bucket, data = server.bucket(), pattern(70_000)
    store = server.store(bucket)
    one = put(store, "b/with the client ü.age", data)
    asked = listed(store)
    other = put(store, "a/a key with spaces, ü and + ~.age", data)
    assert not asked
    heads = [server.client.head_object(Bucket=bucket, Key=each.key, ChecksumMode="ENABLED") for each in (one, other)]
    for name in ("ETag", "ContentLength", "ContentType", "Metadata", "ChecksumCRC64NVME"):
        assert heads[0][name] == heads[1][name], name
    assert heads[0]["ContentType"] == "application/x-age-encryption"
    assert heads[0]["Metadata"] == META
    assert other.version_id == heads[1]["VersionId"]
    assert (other.etag, other.crc64nvme, other.sha256_tree) == (one.etag, one.crc64nvme, tree(data))


def test_what_came_meanwhile_is_adopted_when_it_is_ours_and_never_overwritten(server):
    bucket, data = server.bucket(), pattern(1000)
    store = server.store(bucket)
    asked = listed(store)
    put(server.store(bucket), "a/ours", data)
    server.client.put_object(Bucket=bucket, Key="a/theirs", Body=b"somebody else's")
    assert put(store, "a/ours", data).adopted
    with pytest.raises(KeyTaken):
        put(store, "a/theirs", data)
    assert set(asked) == {"HeadObject"}
    assert b"".join(store.get("a/theirs")) == b"somebody else's"


def test_when_the_answer_is_lost_the_client_finds_what_was_stored(server):
    bucket, data = server.bucket(), pattern(1000)
    with proxied(server.endpoint_url) as proxy:
        store = server.store(bucket, endpoint_url=proxy.endpoint_url)
        asked = listed(store)
        proxy.lose_answers_to.append(b"PUT ")
        assert put(store, "a/k", data).adopted
        assert proxy.lost == 1
    assert asked["PutObject"] == 1
    assert len(server.client.list_object_versions(Bucket=bucket, Prefix="a/")["Versions"]) == 1


def test_a_body_that_arrives_broken_is_sent_again_by_the_client(server):
    bucket, data = server.bucket(), b"content that is told apart"
    with proxied(server.endpoint_url) as proxy:
        store = server.store(bucket, endpoint_url=proxy.endpoint_url)
        asked = listed(store)
        proxy.forge.append((b"told apart", b"told wrong"))
        put(store, "a/k", data)
        assert proxy.forged == 1
        assert asked["PutObject"] == 1
        put(store, "a/l", data)
    assert asked["PutObject"] == 2, "a service that refused once is not asked so again"
    assert b"".join(server.store(bucket).get("a/k")) == data


def test_the_client_says_what_is_wrong(server, monkeypatch):
    bucket = server.bucket()
    store = server.store(bucket)
    listed(store)
    monkeypatch.setattr(store._client._request_signer._credentials, "secret_key", "another")
    with pytest.raises(NoCredentials, match="renew them"):
        put(store, "a/k", b"content")


def test_what_needs_more_than_a_signed_header_is_left_to_the_client(server):
    bucket = server.bucket()
    quick = QuickPuts.of(server.store(bucket)._client, bucket)
    assert quick is not None
    body = bytearray(b"content")
    assert quick.put("k", body, {}, {"ObjectLockRetainUntilDate": datetime.now(UTC)}) is None
    assert quick.put("k", body, {"name": "ü"}, {}) is None
    assert QuickPuts.of(server.store(bucket)._client, "arn:aws:s3:us-west-2:123456789012:accesspoint/a") is None
    open_network = make_client(
        endpoint_url="http://store.example", region=server.region, connections=1, attempts=1, pace=None
    )
    assert QuickPuts.of(open_network, bucket) is None, "over an open network the body is signed as well"
    assert isinstance(quick.put("k", body, {}, {"IfNoneMatch": "*"}), dict)


def test_with_a_limit_of_bandwidth_the_client_sends(server, tmp_path):
    bucket = server.bucket()
    pace = Pace(50 * 1024 * 1024, tmp_path / "pace")
    store = S3Store("s3", bucket, endpoint_url=server.endpoint_url, region=server.region, pace=pace)
    asked = listed(store)
    put(store, "a/k", b"content")
    assert asked["PutObject"] == 1


def test_options_are_said_in_the_service_s_own_headers(server):
    bucket = server.bucket()
    options = Options(storage_class="STANDARD_IA", tags={"lab": "one two"})
    store = S3Store("s3", bucket, endpoint_url=server.endpoint_url, region=server.region, options=options)
    asked = listed(store)
    put(store, "a/k", b"content")
    assert not asked
    assert server.client.get_object_tagging(Bucket=bucket, Key="a/k")["TagSet"] == [{"Key": "lab", "Value": "one two"}]
    head = store.head("a/k")
    assert isinstance(head, Present)
    assert server.client.head_object(Bucket=bucket, Key="a/k")["StorageClass"] == "STANDARD_IA"
