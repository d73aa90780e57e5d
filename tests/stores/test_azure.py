"""What only an Azure container can do, or refuse."""

import base64
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from azure.core.exceptions import DeserializationError, HttpResponseError
from azure.storage.blob import ContainerSasPermissions, ContentSettings, StandardBlobTier, generate_container_sas
from content import META, Recorded, pattern, tree
from places import BLOCK as PART
from places import Account, Container
from test_s3 import Proxy, proxied

from ecogvault import cli
from ecogvault.config import Destination, check
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.stores import (
    Absent,
    BytesSource,
    Examined,
    KeepsUnfinished,
    KeyTaken,
    Present,
    StoreError,
    Unknown,
    UploadState,
    open_store,
)
from ecogvault.stores.azure_client import attempted, credential, explain
from ecogvault.stores.azure_upload import MAX_BLOCKS
from ecogvault.stores.errors import (
    Archived,
    BadKey,
    BadSettings,
    BucketMissing,
    Denied,
    Exposed,
    NoCredentials,
    NotFound,
    Unreachable,
    WrongBytes,
)
from ecogvault.stores.parts import part_size_for
from ecogvault.stores.pieces import MIB
from ecogvault.transfer import transfer_state

MARKER = b"MARKER-IN-THE-BODY"


@pytest.fixture
def container(account: Account) -> Container:
    return Container(account, account.container())


def put(store, key: str, data: bytes, **rest):
    return store.put(key, BytesSource(data), **{"metadata": META, "state": UploadState.in_memory()} | rest)


def through(proxy: Proxy, container: Container, **rest):
    """The store, reached by way of a proxy."""
    name = container.account.account_url.rpartition("/")[2]
    return container.account.store(container.name, account_url=f"{proxy.endpoint_url}/{name}", **rest)


def sas(container: Container, permission: str, *, hours: float = 1) -> str:
    key = dict(part.split("=", 1) for part in container.account.connection_string.rstrip(";").split(";"))
    return generate_container_sas(
        key["AccountName"],
        container.name,
        account_key=key["AccountKey"],
        permission=ContainerSasPermissions.from_string(permission),
        start=datetime.now(UTC) - timedelta(hours=2),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )


def interrupted(store, key: str, data: bytes, at: int, state: UploadState | None = None) -> None:
    """A put that breaks when it reads at `at`."""

    def fail(offset: int) -> None:
        if offset >= at:
            raise OSError("read error")

    with pytest.raises(OSError, match="read error"):
        store.put(key, Recorded(data, fail), metadata=META, state=state or UploadState.in_memory())


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 3 * MIB - 5])
def test_the_md5_of_the_whole_is_kept_with_the_blob_and_of_each_block_in_its_name(container, size):
    data = pattern(size)
    stored = put(container.store(), "k", data)
    properties = container.client.get_blob_client("k").get_blob_properties()
    assert bytes(properties.content_settings.content_md5) == hashlib.md5(data).digest()
    assert stored.md5 == hashlib.md5(data).hexdigest()
    assert properties.metadata == {name.replace("-", "_"): value for name, value in META.items()}
    committed, _ = container.client.get_blob_client("k").get_block_list("committed")
    wanted = [hashlib.md5(data[at : at + PART]).hexdigest() for at in range(0, size, PART)] if size > PART else []
    assert [block.id for block in committed] == [f"{n:05d}-{md5}" for n, md5 in enumerate(wanted, 1)]


@pytest.mark.parametrize("size", [1000, 3 * MIB - 5])
def test_bytes_changed_on_the_way_to_the_service_are_sent_again(container, size):
    data = pattern(size - len(MARKER)) + MARKER
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        proxy.forge = [(MARKER, MARKER[::-1])]
        put(through(proxy, container), "k", data)
        assert proxy.forged == 1
    assert container.content("k") == data


def test_bytes_changed_on_the_way_every_time_are_refused(container):
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        proxy.forge = [(MARKER, MARKER[::-1])] * 20
        with pytest.raises(WrongBytes, match="k in container"):
            put(through(proxy, container), "k", MARKER)
        assert proxy.forged >= 3
    assert container.store().head("k") == Absent()


def test_blocks_that_the_service_puts_together_otherwise_are_not_taken_for_stored(container):
    data = pattern(3 * PART)
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        # The answer to the look after the commit tells of another MD5 than was sent.
        md5, other = (base64.b64encode(hashlib.md5(one).digest()) for one in (data, b"other"))
        proxy.forge_answers = [(b"Content-MD5: " + md5, b"Content-MD5: " + other)]
        with pytest.raises(WrongBytes, match="wrongly"):
            put(through(proxy, container), "k", data)
        assert proxy.forge_answers == []


@pytest.mark.parametrize("size", [3 * MIB, 21 * MIB])
def test_a_download_goes_on_where_the_connection_broke(container, size):
    data = pattern(size)
    put(container.store(), "k", data)
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        proxy.cut_answers_after = [MIB + 77, 300_000]
        assert b"".join(through(proxy, container, attempts=5).get("k")) == data
        assert proxy.cuts == 2


def test_content_that_is_not_that_of_its_md5_is_named(container):
    # As Azurite and Azure take it: the MD5 of a blob made of blocks is never compared with its bytes.
    blob = container.client.get_blob_client("k")
    blob.stage_block("1", b"content")
    blob.commit_block_list(["1"], content_settings=ContentSettings(content_md5=bytearray(16)))
    with pytest.raises(WrongBytes, match="k in container"):
        b"".join(container.store().get("k"))
    assert b"".join(container.store().get("k", 1, 3)) == b"ont"


def test_a_blob_that_is_replaced_while_it_is_read_is_not_mixed(container):
    put(container.store(), "k", pattern(20 * MIB))
    reading = container.store().get("k")
    next(reading)
    container.plant("k", pattern(20 * MIB, seed=1))
    with pytest.raises(WrongBytes, match="replaced"):
        # What was asked for ahead may still be of the old one.
        list(reading)


@pytest.mark.parametrize(("size", "request_line"), [(1000, b"PUT /"), (3 * MIB, b"PUT /")])
def test_a_lost_answer_to_the_last_request_is_no_failure(container, size, request_line):
    data = pattern(size)
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        proxy.lose_answers_to = [request_line] if size < PART else [request_line] * 4  # three blocks and their list
        stored = put(through(proxy, container, attempts=5), "k", data)
        assert proxy.lose_answers_to == []
    assert container.content("k") == data
    assert (stored.sha256_tree, stored.size) == (tree(data), size)


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_blocks_known_only_to_the_service_are_gone_on_with_and_changed_ones_are_not(container):
    data = bytearray(pattern(4 * PART))
    interrupted(container.store(), "k", bytes(data), 3 * PART)
    data[PART + 7] ^= 1
    stored = put(container.store(), "k", bytes(data))
    assert stored.bytes_sent == 2 * PART
    assert container.content("k") == bytes(data)
    assert container.uncommitted("k") == 0


def test_unfinished_blocks_of_another_program_are_said_and_left(container):
    container.client.get_blob_client("k").stage_block("azcopy-1", b"theirs")
    with pytest.raises(StoreError, match="another program has left 1 unfinished blocks"):
        put(container.store(), "k", pattern(2 * PART))
    assert container.uncommitted("k") == 1


def test_blocks_of_the_blob_that_is_replaced_are_never_used_again(container):
    data = pattern(2 * PART)
    first = put(container.store(), "k", data)
    again = put(container.store(), "k", data, metadata=META | {"ecogvault-generation": "2"}, replace=first.etag)
    assert (again.adopted, again.bytes_sent) == (False, len(data))


def test_removing_unfinished_blocks_leaves_no_blob_whenever_it_is_killed(container, monkeypatch):
    store = container.store()
    interrupted(store, "k", pattern(3 * PART), 2 * PART)
    monkeypatch.setattr(store, "_delete", lambda key, etag: None)  # killed before the last step
    assert store.abort_unfinished("k") == 1
    assert [one.name for one in container.client.list_blobs()] == ["k"]
    assert container.store().head("k") == Absent()
    assert container.store().abort_unfinished("k") == 1
    assert list(container.client.list_blobs()) == []
    interrupted(store, "k", pattern(3 * PART), 2 * PART)
    assert store.abort_unfinished("k") == 1
    assert put(container.store(), "k", b"x").adopted is False
    assert container.content("k") == b"x"


def test_credentials_that_may_not_delete_leave_the_blocks_and_no_blob(container, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas(container, "rcwl"))
    store = container.account.store(container.name)
    interrupted(store, "k", pattern(3 * PART), 2 * PART)
    assert store.abort_unfinished("k") == 0
    assert list(container.client.list_blobs()) == []
    assert container.uncommitted("k") == 2
    assert put(store, "k", pattern(3 * PART)).bytes_sent == PART


def test_a_block_grows_when_50000_of_them_would_not_do():
    assert part_size_for(500_000_000_000, 16 * MIB, MAX_BLOCKS) == 16 * MIB
    assert -(-5_000_000_000_000 // part_size_for(5_000_000_000_000, 16 * MIB, MAX_BLOCKS)) <= MAX_BLOCKS


# --- replacing, tiers -------------------------------------------------------------------------------------------------


def test_what_is_replaced_stays_as_a_snapshot_where_there_are_no_versions(container):
    store = container.store()
    first = put(store, "k", b"old")
    put(store, "k", b"new", metadata=META | {"ecogvault-generation": "2"}, replace=first.etag)
    kept = [one for one in container.client.list_blobs(include=["snapshots"]) if one.snapshot]
    assert [one.size for one in kept] == [3]
    assert container.client.get_blob_client("k", snapshot=kept[0].snapshot).download_blob().readall() == b"old"
    assert container.content("k") == b"new"


def test_an_archived_blob_is_there_and_its_reading_is_explained(container):
    store = container.account.store(container.name, tier="Archive")
    data = pattern(3 * MIB)
    stored = put(store, "k", data)
    small = put(store, "s", b"statement")
    assert container.client.get_blob_client("k").get_blob_properties().blob_tier == "Archive"
    present = store.head("k")
    assert isinstance(present, Present)
    assert (present.size, present.md5) == (len(data), stored.md5)
    assert {one.key: one.etag for one in store.list()} == {"k": stored.etag, "s": small.etag}
    with pytest.raises(Archived, match=r"k in container .* is in the Archive tier .* with tier=Standard"):
        b"".join(store.get("k"))
    assert b"".join(store.get("s")) == b"statement"
    assert put(store, "k", data).adopted
    container.client.get_blob_client("k").set_standard_blob_tier(StandardBlobTier.HOT)
    assert b"".join(store.get("k")) == data


def test_many_small_objects_are_put_with_one_request_each_and_a_stale_listing_overwrites_nothing(container):
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        store = through(proxy, container)
        store.look_ahead("d/")
        container.plant("d/5", b"somebody else's")
        proxy.requests.clear()
        for number in range(5):
            put(store, f"d/{number}", b"content")
        assert [line.split()[0] for line in proxy.requests] == [b"PUT"] * 5
        with pytest.raises(KeyTaken):
            put(store, "d/5", b"content")
    assert container.content("d/5") == b"somebody else's"


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_container_that_is_open_to_everybody_is_refused(container):
    store = container.store()
    assert isinstance(store, Examined)
    assert [one.level for one in store.examine()] == ["ok", "ok", "warning", "warning"]
    store.preflight()
    container.client.set_container_access_policy(signed_identifiers={}, public_access="blob")
    with pytest.raises(Exposed, match="open to everybody"):
        store.preflight()
    assert next(one.text for one in store.examine() if one.level == "refused").startswith("container t-")
    assert [one.name for one in container.client.list_blobs()] == []


def test_unfinished_uploads_are_listed_and_ended(container, monkeypatch):
    store = container.store()
    state = UploadState.in_memory()
    interrupted(store, "d/k", pattern(3 * PART), 2 * PART, state)
    put(store, "d/whole", b"x")
    assert isinstance(store, KeepsUnfinished)
    (one,) = store.unfinished()
    assert (one.key, one.size, one.upload_id) == ("d/k", 2 * PART, state.upload_id)
    assert datetime.now(UTC) - one.begun < timedelta(minutes=10)
    store.end(one)
    assert list(store.unfinished()) == []
    store.end(one)
    interrupted(store, "d/k", pattern(3 * PART), 2 * PART)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas(container, "rcwl"))
    with pytest.raises(Denied, match="a week after the last one"):
        container.account.store(container.name).end(one)


def test_cleanup_and_preflight_know_containers_by_their_verbs(container, tmp_path, capsys):
    code = "df5c5206"
    abandoned, waiting = (f"{code}/{code}_{n}_vid.g1.tar.zst.age" for n in (1, 2))
    place = {"type": "azure", "zone": "outside", "form": "tarball", "account_url": container.account.account_url}
    values = {"results": str(tmp_path / "results"), "destinations": {"azure": {**place, "container": container.name}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    paths = Paths.of(check(values))
    paths.subject(code).mkdir(parents=True)
    for key in (abandoned, waiting, "somebody/else's.bin"):
        with transfer_state(paths.transfer("azure", Unit(code, 2, "vid")), tmp_path / "s.json", what="a test") as state:
            known = state.upload(key) if key == waiting else UploadState.in_memory()
            interrupted(container.store(), key, pattern(3 * PART), 2 * PART, known)

    def run(*words: str) -> tuple[int, str]:
        return cli.main(["--config", str(tmp_path / "config.yaml"), *words]), capsys.readouterr().out

    status, said = run("cleanup", "--older-than", "0", "--remove", "--yes")
    assert status == 0
    assert f"azure: {abandoned} in container {container.name}: {2 * PART} bytes" in said
    assert "left alone (the next run goes on with it): 1 uploads" in said
    assert "left alone (not ours): 1 uploads" in said
    assert "Amazon" not in said
    assert [container.uncommitted(key) for key in (abandoned, waiting, "somebody/else's.bin")] == [0, 2, 2]
    status, said = run("preflight")
    assert status == 0
    assert "it is private" in said


# --- who may, and what is said ----------------------------------------------------------------------------------------


def test_a_missing_container_is_named_and_nothing_in_it_counts_as_absent(account):
    store = account.store("no-such-container")
    with pytest.raises(BucketMissing, match="container no-such-container does not exist: create it"):
        store.preflight()
    assert isinstance(store.head("k"), Unknown)
    with pytest.raises(BucketMissing):
        put(store, "k", b"x")
    with pytest.raises(BucketMissing):
        list(store.list())


def test_a_server_that_does_not_answer_is_unknown_and_no_address_is_shown(container, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas(container, "rl"))
    store = container.account.store(container.name, account_url="http://127.0.0.1:9/nobody", attempts=2)
    presence = store.head("k")
    assert isinstance(presence, Unknown)
    assert "cannot be reached" in presence.reason
    with pytest.raises(Unreachable) as caught:
        store.preflight()
    shown: BaseException | None = caught.value
    while shown is not None and not shown.__suppress_context__:
        assert "sig=" not in str(shown)
        shown = shown.__cause__ or shown.__context__
    assert shown is not None


def test_a_wrong_key_is_explained(account, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "d3Jvbmc=")
    # Azure says AuthenticationFailed, and Azurite AuthorizationFailure.
    with pytest.raises((NoCredentials, Denied), match="the key or SAS is not"):
        account.store("any").preflight()


@pytest.mark.parametrize(
    ("permission", "hours", "says"),
    [
        ("rl", 1, r"these credentials need permission to create and write \(SAS: cw"),
        ("rcwl", -1, "the key or SAS is not right"),
    ],
)
def test_a_sas_that_does_not_permit_it_is_explained(container, monkeypatch, permission, hours, says):
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?" + sas(container, permission, hours=hours))
    with pytest.raises(Denied, match=says):
        put(container.account.store(container.name), "k", b"x")


class Answer(HttpResponseError):
    """What the service said, as the client gives it."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(detail)
        self.status_code, self.error_code = status, code


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (Answer(403, "AuthenticationFailed", "Request date header too old: 'x'"), Denied, "set the clock"),
        (Answer(403, "AuthenticationFailed", "Signature not valid in the specified time frame"), NoCredentials, "time"),
        (Answer(403, "AuthenticationFailed"), NoCredentials, "the credentials are refused"),
        (Answer(401, ""), NoCredentials, "the credentials are refused"),
        (Answer(403, "AuthorizationFailure"), Denied, "firewall"),
        (Answer(403, "AuthorizationPermissionMismatch"), Denied, "Storage Blob Data Contributor"),
        (Answer(403, "KeyBasedAuthenticationNotPermitted"), Denied, "az login"),
        (Answer(409, "BlobImmutableDueToPolicy"), Denied, "immutability policy"),
        (Answer(412, "LeaseIdMissing"), Denied, "lease"),
        (Answer(404, "BlobNotFound"), NotFound, "k in container c does not exist"),
        (Answer(404, "ContainerNotFound"), BucketMissing, "create it"),
        (Answer(409, "ContainerBeingDeleted"), BucketMissing, "being deleted"),
        (Answer(409, "BlobArchived"), Archived, "Archive tier"),
        (Answer(409, "BlobBeingRehydrated"), Archived, "being brought back"),
        (Answer(503, "ServerBusy"), Unreachable, "throttles"),
        (Answer(429, "TooManyRequests"), Unreachable, "throttles"),
        (Answer(400, "InvalidHeaderValue"), StoreError, "400 InvalidHeaderValue"),
        (DeserializationError("x"), Unreachable, "cannot be read"),
    ],
)
def test_what_the_service_refuses_is_explained(error, kind, says):
    explained = explain(error, "container c", "k", needs="write")
    assert type(explained) is kind
    assert says in str(explained)


@pytest.mark.parametrize(
    ("error", "times"), [(Answer(503, "ServerBusy"), 3), (Answer(429, ""), 3), (Answer(403, ""), 1)]
)
def test_only_what_may_pass_is_tried_again(error, times):
    tried = []

    def send() -> None:
        tried.append(1)
        raise error

    with pytest.raises(Answer):
        attempted(send, 3)
    assert len(tried) == times


def test_where_credentials_come_from():
    url = "https://lab.blob.core.windows.net"
    key = {"account_name": "lab", "account_key": "a2V5"}
    assert credential(url, {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=lab;AccountKey=a2V5;X=y"}) == key
    assert credential(url, {"AZURE_STORAGE_CONNECTION_STRING": "SharedAccessSignature=sv=1&sig=x"}) == "sv=1&sig=x"
    assert credential(url, {"AZURE_STORAGE_KEY": "a2V5\n", "AZURE_STORAGE_SAS_TOKEN": "?sig=x"}) == key
    assert credential(url, {"AZURE_STORAGE_SAS_TOKEN": "?sig=x"}) == "sig=x"
    assert type(credential(url, {})).__name__ == "DefaultAzureCredential"
    assert credential(url, {}) is credential("https://other.blob.core.windows.net", {})  # whose token is kept
    assert credential("http://127.0.0.1:9/lab", {"AZURE_STORAGE_KEY": "a2V5"}) == key
    for environment in (
        {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=a2V5"},
        {"AZURE_STORAGE_KEY": "a2V5", "AZURE_STORAGE_ACCOUNT": "other"},
    ):
        with pytest.raises(NoCredentials, match="other.*lab") as caught:
            credential(url, environment)
        assert "a2V5" not in str(caught.value)
    with pytest.raises(NoCredentials, match="holds neither"):
        credential(url, {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=lab"})


def test_without_any_credentials_it_is_said_what_to_set(container):
    # In a process of its own: azure-identity looks at the whole environment.
    program = (
        "import sys; from ecogvault.config import Destination; from ecogvault.stores import open_store\n"
        "settings = {'type': 'azure', 'account_url': 'https://127.0.0.1:9', 'container': 'c'}\n"
        "print(open_store(Destination('azure', settings), 'vid').head('k').reason)\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    environment |= {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "no usable Azure credentials for container c: set AZURE_STORAGE_KEY" in done.stdout
    assert done.stderr == ""  # azure-identity's own account of it takes a page


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://lab.blob.core.windows.net", "https://"), ("ftp://x", "https://"), ("https://x/?sig=s3cr3t", "query")],
)
def test_an_address_that_would_give_secrets_away_is_refused(url, says):
    settings = {"type": "azure", "account_url": url, "container": "c"}
    with pytest.raises(BadSettings, match=says) as caught:
        open_store(Destination("azure", settings), "vid")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "/k", "a//b", "a/", "a.", "n" * 1025])
def test_a_key_that_azure_cannot_hold_is_refused(container, key):
    with pytest.raises(BadKey):
        put(container.store(), key, b"x")


def test_a_container_is_opened_from_the_configuration(container):
    settings = {
        "type": "azure",
        "account_url": container.account.account_url,
        "container": {"vid": container.name},
        "tier": "Cool",
        "part_size_mib": 1,
        "bandwidth_mib": 200,
    }
    store = open_store(Destination("azure", settings), "vid")
    stored = put(store, "k", pattern(3 * MIB))
    assert (stored.part_size, stored.bucket) == (MIB, container.name)
    assert container.client.get_blob_client("k").get_blob_properties().blob_tier == "Cool"
    assert b"".join(store.get("k")) == pattern(3 * MIB)
    assert store.where == f"container {container.name}"
