"""A fifth of all requests goes wrong: right bytes or a clear failure, and never a receipt for what is not there."""

import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from content import META, pattern, tree
from places import PART, Bucket, Container
from test_many_files import UNIT, Session

from ecogvault import ledger
from ecogvault.stores import Absent, BytesSource, Present, Store, Stored, StoreError, UploadState
from ecogvault.stores.pieces import MIB
from faults import FAULTS, FaultProxy, faulty

SEEDS = [1, pytest.param(2, marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stalls are given up after a second, and pauses between attempts are short."""
    monkeypatch.setattr("ecogvault.stores.s3_client.READ_SECONDS", 1.0)
    monkeypatch.setattr("ecogvault.stores.azure_client.READ_SECONDS", 1.0)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 30)))


def clear(error: StoreError) -> None:
    assert "\n" not in str(error)
    assert " t-" in str(error)  # the bucket or container is named


@pytest.mark.parametrize(
    ("kind", "seed"),
    [("s3", 1), pytest.param("s3", 2, marks=pytest.mark.slow), pytest.param("azure", 1, marks=pytest.mark.slow)],
)
def test_what_counts_as_stored_is_there_and_what_is_read_is_right(request, kind, seed):
    if kind == "s3":
        server = request.getfixturevalue("server")
        place: Bucket | Container = Bucket(server, server.bucket())
        address = server.endpoint_url
    else:
        account = request.getfixturevalue("account")
        place = Container(account, account.container())
        address = account.account_url
    direct = place.store()
    sizes = [0, 10, 70_000, place.part, place.part + 1, 2 * place.part + MIB]
    wanted = {f"a/{number:02d}": pattern(sizes[number % len(sizes)], seed=number) for number in range(24)}
    with faulty(address, seed) as proxy:
        store = spoiled(place, proxy)
        stored: dict[str, Stored] = {}
        for key, data in wanted.items():
            state = UploadState.in_memory()
            for _ in range(10):
                try:
                    stored[key] = store.put(key, BytesSource(data), metadata=META, state=state)
                    break
                except StoreError as error:
                    clear(error)
                    # What failed is not there, or it is there as it should be: only the answer was lost.
                    assert direct.head(key) == Absent() or b"".join(direct.get(key)) == data
        assert stored.keys() == wanted.keys()
        for key, data in wanted.items():
            one, there = stored[key], direct.head(key)
            assert place.content(key) == data
            assert isinstance(there, Present)
            assert (one.etag, one.version_id, one.size) == (there.etag, there.version_id, len(data))
            assert one.sha256_tree in (tree(data), "" if one.adopted else None)
        read = wrong = 0
        for key, data in wanted.items():
            head = store.head(key)
            assert not isinstance(head, Absent)
            assert not isinstance(head, Present) or head.size == len(data)
            try:
                assert b"".join(store.get(key)) == data
                read += 1
            except StoreError as error:
                clear(error)
                wrong += 1
        assert read > wrong
        assert sum(proxy.done[fault] for fault in FAULTS) > 10
    assert place.unfinished() == 0


def spoiled(place: Bucket | Container, proxy: FaultProxy) -> Store:
    """The store of a place, through the proxy."""
    if isinstance(place, Bucket):
        return place.server.store(place.name, endpoint_url=proxy.endpoint_url, attempts=5)
    path = urlsplit(place.account.account_url).path
    return place.account.store(place.name, account_url=proxy.endpoint_url + path, attempts=5)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_by_itself_is_got_over(server, fault):
    bucket = server.bucket()
    data = pattern(PART + MIB)
    with faulty(server.endpoint_url, 7, rate=0.3, faults=(fault,)) as proxy:
        store = server.store(bucket, endpoint_url=proxy.endpoint_url, attempts=6)
        done = 0
        while not proxy.done[fault] or done < 3:
            done += 1
            state = UploadState.in_memory()
            stored = got_over(lambda key=f"k{done}", state=state: put(store, key, data, state))
            assert stored.sha256_tree in (tree(data), "")
            assert b"".join(server.store(bucket).get(f"k{done}")) == data
            assert got_over(lambda key=f"k{done}": b"".join(store.get(key))) == data


def put(store, key: str, data: bytes, state: UploadState) -> Stored:
    return store.put(key, BytesSource(data), metadata=META, state=state)


def got_over(attempt):
    """What a few runs come to."""
    for _ in range(5):
        try:
            return attempt()
        except StoreError as error:
            clear(error)
    return attempt()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_unit_sent_in_spite_of_faults_has_a_ledger_that_is_true(server, tmp_path, seed):
    session = Session(server, tmp_path, 60)
    (session.tree / f"{UNIT.session}_0001.avi").write_bytes(pattern(17 * MIB))
    failures: list[str] = []
    proxies: list[FaultProxy] = []

    for _ in range(12):
        try:
            with faulty(server.endpoint_url, seed + 100 * len(failures)) as proxy:
                proxies.append(proxy)
                session.send_through(proxy.endpoint_url, 1)
            break
        except StoreError as error:
            clear(error)
            failures.append(str(error))
    else:
        pytest.fail(f"no run came through: {failures}")
    assert sum(proxy.done[fault] for proxy in proxies for fault in FAULTS) > 5
    objects = {str(one["key"]): one for one in ledger.copies(session.journal)[1].objects}
    assert len([key for key in objects if "_0" in key]) == 61
    for key, one in objects.items():
        content = server.client.get_object(Bucket=session.bucket, Key=key, VersionId=one["version_id"])
        data = content["Body"].read()
        assert (one["etag"], one["size"]) == (content["ETag"].strip('"'), len(data))
        assert one["sha256_tree"] in (tree(data), None)
    assert "Uploads" not in server.client.list_multipart_uploads(Bucket=session.bucket)
