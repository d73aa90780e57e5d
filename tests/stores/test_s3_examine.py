"""A bucket's own settings: what is found out about them, and that nothing is sent where everybody could read it."""

import json

import pytest
from botocore.stub import Stubber
from content import META

from ecogvault.stores import BytesSource, StoreError, UploadState
from ecogvault.stores.errors import BucketMissing, Exposed
from ecogvault.stores.s3 import S3Store
from ecogvault.stores.s3_options import Options

EVERYBODY = "http://acs.amazonaws.com/groups/global/AllUsers"


def found(store: S3Store) -> list[str]:
    return [f"{one.level}: {one.text}" for one in store.examine()]


def make_public(client, bucket: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def test_a_bare_bucket_is_private_and_everything_it_lacks_is_a_warning(server):
    text = "\n".join(found(server.store(server.bucket(versioned=False))))
    for part in (
        "ok: it answers",
        "ok: it is not public",
        "warning: it keeps no versions",
        "warning: it does not encrypt",
        "warning: no lifecycle rule removes unfinished uploads",
        "warning: these credentials could delete",
    ):
        assert part in text
    assert "refused: " not in text


def test_a_bucket_as_it_should_be_has_nothing_to_be_warned_of_but_the_credentials(server):
    bucket = server.bucket()
    ending = {"ID": "u", "Status": "Enabled", "Filter": {"Prefix": ""}}
    server.client.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [ending | {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}]},
    )
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    server.client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    store = server.store(bucket)
    lines = found(store)
    assert [line for line in lines if not line.startswith("ok")] == [
        line for line in lines if "these credentials could delete" in line
    ]
    assert "ok: unfinished uploads are removed after 7 days" in lines
    # Asking whether it could be deleted has left nothing, no delete marker either.
    assert "DeleteMarkers" not in server.client.list_object_versions(Bucket=bucket)


def test_a_lifecycle_rule_that_removes_objects_is_named(server):
    bucket = server.bucket()
    rule = {"ID": "sweeper", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    server.client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert any("warning: the lifecycle rule sweeper removes objects" in line for line in found(server.store(bucket)))


@pytest.mark.parametrize("way", ["policy", "access list"])
def test_nothing_is_sent_to_a_bucket_that_everybody_can_read(server, way):
    bucket = server.bucket()
    if way == "policy":
        make_public(server.client, bucket)
    else:
        server.client.put_bucket_acl(Bucket=bucket, ACL="public-read")
    store = server.store(bucket)
    with pytest.raises(Exposed, match=f"{bucket} is .*by its {way}"):
        store.preflight()
    assert any(line.startswith("refused: ") and way in line for line in found(store))


def test_retention_is_refused_where_the_bucket_cannot_retain(server):
    plain, locked = server.bucket(), f"{server.bucket()}-lock"
    server.client.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    for bucket, wanted in ((plain, "refused: object_lock is configured, but"), (locked, "ok: objects are retained")):
        store = S3Store(
            "s3",
            bucket,
            endpoint_url=server.endpoint_url,
            region=server.region,
            options=Options(lock_mode="GOVERNANCE", lock_days=1),
        )
        assert any(line.startswith(wanted) for line in found(store))


def test_a_missing_bucket_is_said(server):
    with pytest.raises(BucketMissing):
        found(server.store("no-such-bucket"))


def denied(stub: Stubber, *operations: str) -> None:
    for operation in operations:
        stub.add_client_error(operation, "AccessDenied", http_status_code=403)


def test_with_block_public_access_a_public_policy_or_list_has_no_effect_and_is_not_asked_for(server):
    """Scripted answers: the local server has no Block Public Access."""
    store = server.store("any")
    block = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    with Stubber(store._client) as stub:
        stub.add_response("list_objects_v2", {})
        stub.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": block})
        store.preflight()
        stub.assert_no_pending_responses()


def test_a_list_that_is_open_counts_although_public_policies_are_blocked(server):
    """Scripted answers: the local server has no Block Public Access."""
    store = server.store("any")
    block = {"RestrictPublicBuckets": True, "IgnorePublicAcls": False}
    with Stubber(store._client) as stub:
        stub.add_response("list_objects_v2", {})
        stub.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": block})
        grant = {"Grantee": {"Type": "Group", "URI": EVERYBODY}, "Permission": "READ"}
        stub.add_response("get_bucket_acl", {"Grants": [grant]})
        with pytest.raises(Exposed, match="access list"):
            store.preflight()


def test_what_these_credentials_may_not_ask_is_a_warning_by_its_iam_action(server):
    """Scripted answers: the local server's only user may do everything."""
    store = server.store("any")
    with Stubber(store._client) as stub:
        stub.add_response("list_objects_v2", {})
        denied(stub, "get_public_access_block", "get_bucket_policy_status", "get_bucket_acl", "get_bucket_versioning")
        denied(stub, "get_bucket_encryption", "get_bucket_lifecycle_configuration", "delete_object")
        lines = found(store)
        stub.assert_no_pending_responses()
    text = "\n".join(lines)
    for action in (
        "s3:GetBucketPolicyStatus",
        "s3:GetBucketAcl",
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
    ):
        assert action in text
    assert lines[-1] == "ok: these credentials cannot delete"


def test_a_denied_answer_names_the_permission_that_amazon_names(server):
    """Scripted answers: the local server does not name permissions."""
    store = server.store("any")
    message = "User: arn:aws:iam::1:user/u is not authorized to perform: s3:PutObjectTagging on resource: x"
    with Stubber(store._client) as stub:
        stub.add_client_error("head_object", "404", http_status_code=404)
        stub.add_response("head_bucket", {})
        stub.add_client_error("put_object", "AccessDenied", message, http_status_code=403)
        with pytest.raises(StoreError, match="these credentials need s3:PutObjectTagging; see docs/iam"):
            store.put("k", BytesSource(b"x"), metadata=META, state=UploadState.in_memory())
