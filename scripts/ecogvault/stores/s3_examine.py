"""What a bucket's own settings mean for what is kept in it.

Source: Amazon S3 API reference (each operation's errors), and user guide, "The meaning of public".
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ecogvault.stores.base import Finding
from ecogvault.stores.errors import Exposed
from ecogvault.stores.s3_client import actions_of, code_of, explained, status_of
from ecogvault.stores.s3_options import Options

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_EVERYBODY = ("/groups/global/AllUsers", "/groups/global/AuthenticatedUsers")
# What a service answers that has not got such a setting, or has it and nothing is set.
_NOT_SET = {
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchBucketPolicy",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchLifecycleConfiguration",
    "ObjectLockConfigurationNotFoundError",
}


class _CannotTell(Exception):
    """The service did not say; the text says why."""


def _ask(bucket: str, request: Callable[..., Any]) -> Mapping[str, Any]:
    """The answer to a question about the bucket; empty when nothing is set. Raises _CannotTell, StoreError."""
    with explained(bucket):
        try:
            answer: Mapping[str, Any] = request(Bucket=bucket)
        except ClientError as error:
            if code_of(error) in _NOT_SET:
                return {}
            if status_of(error) == 403:
                needed = actions_of(error.operation_name)
                raise _CannotTell(f"these credentials lack {needed}") from error
            if status_of(error) in (405, 501) or code_of(error) in ("NotImplemented", "MethodNotAllowed"):
                raise _CannotTell("this service does not tell") from error
            raise
    return answer


def refuse_public(client: "S3Client", bucket: str) -> str | None:
    """Raise Exposed if anybody could read the bucket. Returns why that cannot be told, or None when it is private."""
    doubts: list[str] = []
    block: Mapping[str, Any] = {}
    with suppress(_CannotTell):  # a service without it has policies and lists all the same
        block = _ask(bucket, client.get_public_access_block).get("PublicAccessBlockConfiguration", {})
    if block.get("RestrictPublicBuckets") and block.get("IgnorePublicAcls"):
        return None
    if not block.get("RestrictPublicBuckets"):
        try:
            if _ask(bucket, client.get_bucket_policy_status).get("PolicyStatus", {}).get("IsPublic"):
                raise Exposed(
                    f"bucket {bucket} is public by its policy, and nothing is sent there: remove what allows "
                    "everybody, or block public access (aws s3api put-public-access-block)"
                )
        except _CannotTell as error:
            doubts.append(f"its policy: {error}")
    if not block.get("IgnorePublicAcls"):
        try:
            grants = _ask(bucket, client.get_bucket_acl).get("Grants", [])
        except _CannotTell as error:
            doubts.append(f"its access list: {error}")
        else:
            if any(str(one["Grantee"].get("URI", "")).endswith(_EVERYBODY) for one in grants):
                raise Exposed(
                    f"bucket {bucket} is open to everybody by its access list, and nothing is sent there: make it "
                    f"private (aws s3api put-bucket-acl --bucket {bucket} --acl private)"
                )
    return "; ".join(doubts) or None


def examine(client: "S3Client", bucket: str, options: Options) -> Iterator[Finding]:
    """What is right and what is not about a bucket, one finding after the other. Raises StoreError."""
    with explained(bucket):
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    yield Finding("ok", "it answers, and these credentials may list it")
    try:
        doubt = refuse_public(client, bucket)
    except Exposed as error:
        yield Finding("refused", str(error))
    else:
        yield (
            Finding("warning", f"cannot tell whether it is public ({doubt})")
            if doubt
            else Finding("ok", "it is not public")
        )
    versioned = True
    for question in (_versions, _encryption, _lifecycle, _lock):
        try:
            for finding in question(client, bucket, options):
                versioned = versioned and not (question is _versions and finding.level != "ok")
                yield finding
        except _CannotTell as error:
            yield Finding("warning", f"cannot tell {question.__doc__}: {error}")
    yield _deletion(client, bucket, versioned=versioned)


def _versions(client: "S3Client", bucket: str, options: Options) -> Iterator[Finding]:
    """whether it keeps versions"""
    if _ask(bucket, client.get_bucket_versioning).get("Status") == "Enabled":
        yield Finding("ok", "it keeps versions")
    else:
        yield Finding(
            "warning",
            "it keeps no versions: a changed file will be refused there (aws s3api put-bucket-versioning "
            f"--bucket {bucket} --versioning-configuration Status=Enabled)",
        )


def _encryption(client: "S3Client", bucket: str, options: Options) -> Iterator[Finding]:
    """whether it encrypts at rest"""
    if options.sse:
        yield Finding("ok", f"objects are encrypted at rest ({options.sse}, by sse:)")
        return
    rules = _ask(bucket, client.get_bucket_encryption).get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    ways = [one.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for one in rules]
    if any(ways):
        yield Finding("ok", f"it encrypts at rest ({', '.join(filter(None, ways))})")
    else:
        yield Finding("warning", "it does not encrypt at rest: set the bucket's default encryption, or sse: here")


def _lifecycle(client: "S3Client", bucket: str, options: Options) -> Iterator[Finding]:
    """what its lifecycle rules do"""
    rules = _ask(bucket, client.get_bucket_lifecycle_configuration).get("Rules", [])
    live = [one for one in rules if one.get("Status") == "Enabled"]
    ending = [one for one in live if "AbortIncompleteMultipartUpload" in one and _covers_all(one)]
    if ending:
        days = ending[0]["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
        yield Finding("ok", f"unfinished uploads are removed after {days} days")
    else:
        yield Finding(
            "warning",
            "no lifecycle rule removes unfinished uploads, which are paid for: add AbortIncompleteMultipartUpload, "
            "or run `ecogvault cleanup` now and then",
        )
    for one in live:
        if "Expiration" in one or "NoncurrentVersionExpiration" in one:
            name = one.get("ID", "without a name")
            yield Finding(
                "warning", f"the lifecycle rule {name} removes objects or older versions: nothing may do that"
            )


def _covers_all(rule: Mapping[str, Any]) -> bool:
    """Whether a lifecycle rule holds for every key."""
    limits = rule.get("Filter", {})
    return not rule.get("Prefix") and not limits.get("Prefix") and set(limits) <= {"Prefix"}


def _lock(client: "S3Client", bucket: str, options: Options) -> Iterator[Finding]:
    """whether it has Object Lock"""
    if not options.lock_mode:
        return
    found = _ask(bucket, client.get_object_lock_configuration).get("ObjectLockConfiguration", {})
    if found.get("ObjectLockEnabled") == "Enabled":
        yield Finding("ok", f"objects are retained for {options.lock_days} days ({options.lock_mode.lower()})")
    else:
        yield Finding("refused", "object_lock is configured, but the bucket was made without Object Lock")


def _deletion(client: "S3Client", bucket: str, *, versioned: bool) -> Finding:
    """Ask to remove something that does not exist: nothing changes, and the answer tells what is permitted.

    In a bucket with versions the request names one, so that it leaves no delete marker.
    """
    key = f"ecogvault-preflight-{secrets.token_hex(16)}"
    version: dict[str, Any] = {"VersionId": "null"} if versioned else {}
    with explained(bucket):
        try:
            client.delete_object(Bucket=bucket, Key=key, **version)
        except ClientError as error:
            if status_of(error) == 403:
                return Finding("ok", "these credentials cannot delete")
            if status_of(error) != 404:
                raise
    return Finding(
        "warning",
        "these credentials could delete what is archived: use ones with the policy docs/iam/uploader.json on the "
        "machine that archives",
    )
