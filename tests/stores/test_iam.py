"""The policies in docs/iam, against what the code asks of S3: neither more nor less."""

import boto3
import pytest
from content import META, Recorded, pattern
from iam import operations_in_code, policy
from places import PART

from ecogvault.stores import BytesSource, StoreError, UploadState
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3_client import ACTIONS, ALSO

OPERATIONS = boto3.client("s3", region_name="us-west-2").meta.method_to_api_mapping


def in_code() -> set[str]:
    """The operations of S3 that the store's modules name, wherever `client` stands before a dot."""
    return operations_in_code(OPERATIONS, "s3*.py")


def actions(operations: set[str]) -> set[str]:
    return {action for one in operations for action in (*ACTIONS[one], *ALSO.get(one, {}).values())}


def recorded(store) -> set[str]:
    """The operations that a store calls from now on."""
    called: set[str] = set()
    store._client.meta.events.register("before-call.s3", lambda model, **rest: called.add(model.name))
    return called


def test_every_request_of_the_code_has_its_iam_action_and_no_other_is_listed():
    assert in_code() == set(ACTIONS)


def test_the_uploader_may_do_what_the_code_does_and_never_delete_or_bring_back():
    # Deletion is asked for only to see that it is refused.
    assert policy("uploader") == actions(in_code() - {"DeleteObject", "RestoreObject"})
    assert {"s3:DeleteObject", "s3:DeleteObjectVersion"} <= policy("uploader", "Deny")


def fail(offset: int) -> None:
    if offset >= 2 * PART:
        raise OSError("read error")


def test_what_an_archive_machine_really_calls_is_in_its_policy(server):
    store = server.store(server.bucket())
    called = recorded(store)
    store.preflight()
    list(store.examine())
    for key, size in (("small", 1000), ("large", PART + MIB)):
        stored = store.put(key, BytesSource(pattern(size)), metadata=META, state=UploadState.in_memory())
        newer = META | {"ecogvault-generation": "2"}
        data = BytesSource(pattern(size, seed=1))
        store.put(key, data, metadata=newer, state=UploadState.in_memory(), replace=stored.etag)
    state = UploadState.in_memory()
    with pytest.raises(OSError, match="read error"):
        store.put("broken", Recorded(pattern(3 * PART), fail), metadata=META, state=state)
    store.put("broken", BytesSource(pattern(3 * PART)), metadata=META, state=state)
    assert len(list(store.list())) == 3
    assert len(b"".join(store.get("small"))) == 1000
    assert list(store.unfinished()) == []
    assert called >= {"PutObject", "UploadPart", "ListParts", "GetBucketVersioning", "GetBucketAcl"}
    assert actions(called - {"DeleteObject"}) <= policy("uploader")


def test_what_a_restoring_machine_really_calls_is_its_policy(server):
    bucket = server.bucket()
    stored = server.store(bucket).put("k", BytesSource(b"x"), metadata=META, state=UploadState.in_memory())
    store = server.store(bucket)
    called = recorded(store)
    store.head("absent")
    list(store.list())
    b"".join(store.get("k"))
    b"".join(store.get("k", version_id=stored.version_id))
    store.readiness("k", stored.version_id)
    with pytest.raises(StoreError):  # nothing is archived here
        store.thaw("k", stored.version_id, storage_class="GLACIER", tier="Bulk", days=1)
    assert policy("restorer") == actions(called)


def test_the_eraser_can_delete_every_version_and_neither_read_nor_write():
    allowed = policy("eraser")
    assert set(actions({"DeleteObject", "ListMultipartUploads", "AbortMultipartUpload", "ListParts"})) <= allowed
    assert not allowed & {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:BypassGovernanceRetention"}


def test_no_policy_names_more_than_single_actions():
    for role in ("uploader", "restorer", "eraser"):
        assert not [action for action in policy(role) if "*" in action]
