"""The S3 client, and what its errors mean in words."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as ConnectionFailed,
)

from ecogvault.stores.answers import demand_whole_answers
from ecogvault.stores.errors import Archived, BucketMissing, Denied, NoCredentials, NotFound, StoreError, Unreachable
from ecogvault.stores.pace import Pace, PacedBody

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT_SECONDS = 10
READ_SECONDS = 60

# What each request needs. Source: Amazon service authorization reference, "Actions defined by Amazon S3"; API
# reference, each operation's "Permissions".
ACTIONS: dict[str, tuple[str, ...]] = {
    "HeadObject": ("s3:GetObject", "s3:ListBucket"),
    "GetObject": ("s3:GetObject",),
    "PutObject": ("s3:PutObject",),
    "CreateMultipartUpload": ("s3:PutObject",),
    "UploadPart": ("s3:PutObject",),
    "UploadPartCopy": ("s3:PutObject", "s3:GetObject"),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "ListParts": ("s3:ListMultipartUploadParts",),
    "ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "ListObjectsV2": ("s3:ListBucket",),
    "HeadBucket": ("s3:ListBucket",),
    "GetBucketVersioning": ("s3:GetBucketVersioning",),
    "GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "GetBucketPolicyStatus": ("s3:GetBucketPolicyStatus",),
    "GetBucketAcl": ("s3:GetBucketAcl",),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "GetObjectLockConfiguration": ("s3:GetBucketObjectLockConfiguration",),
    "DeleteObject": ("s3:DeleteObject",),
    "RestoreObject": ("s3:RestoreObject",),
}
# What some requests need beside that, and when.
_CREATING = {"tags": "s3:PutObjectTagging", "object_lock": "s3:PutObjectRetention"}
ALSO: dict[str, dict[str, str]] = {
    "GetObject": {"one version": "s3:GetObjectVersion"},
    "PutObject": _CREATING,
    "CreateMultipartUpload": _CREATING,
    "UploadPartCopy": {"one version": "s3:GetObjectVersion"},
    "DeleteObject": {"one version": "s3:DeleteObjectVersion"},
}
# Amazon's own words to those of the bucket's account, such as "... is not authorized to perform: s3:PutObject on ...".
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId": "the access key id is unknown to the service",
    "SignatureDoesNotMatch": "the secret access key does not belong to the access key id",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    SSOError,
    ProfileNotFound,
)


def make_client(
    *, endpoint_url: str | None, region: str | None, connections: int, attempts: int, pace: Pace | None = None
) -> "S3Client":
    """An S3 client with credentials from boto3's own chain. Makes no request. Raises NoCredentials."""
    demand_whole_answers()
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # "standard" retries 5xx, 429, throttling, resets and timeouts, with exponential backoff and full jitter.
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        # This program gives each request its checksum itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3=_ways(endpoint_url),
    )
    try:
        client = boto3.Session().client("s3", endpoint_url=endpoint_url, region_name=region, config=settings)
    except ProfileNotFound as error:
        raise NoCredentials(f"AWS_PROFILE names a profile that does not exist: {error}") from error
    except ValueError as error:
        raise StoreError(f"endpoint_url {endpoint_url} is not an address: {error}") from error
    events: Any = client.meta.events
    events.register("needs-retry.s3", partial(_wait_when_throttled, attempts))
    if pace is not None:
        events.register("before-send.s3", partial(_paced, pace))
    return client


def _ways(endpoint_url: str | None) -> Any:
    """How requests are addressed and signed."""
    address = urlsplit(endpoint_url or "https://")
    # A server under its own address has no host name per bucket.
    found: dict[str, Any] = {"addressing_style": "path"} if endpoint_url else {}
    # The body's CRC64NVME is signed with the other headers. Where TLS, or no network at all, lies between, hashing the
    # body once more for the signature proves nothing new.
    if address.scheme == "https" or address.hostname in ("127.0.0.1", "::1", "localhost"):
        found["payload_signing_enabled"] = False
    return found


def _wait_when_throttled(most: int, response: Any, attempts: int, **rest: Any) -> float | None:
    """How long to wait before the next attempt after a bare 429, which the client's own rules do not know; or None."""
    if response is None or response[0].status_code != 429 or attempts >= most:
        return None
    if response[1].get("Error", {}).get("Code") not in (None, "", "429", "TooManyRequests"):
        return None
    return random.uniform(0, min(20.0, 2.0**attempts))


def _paced(pace: Pace, request: Any, **rest: Any) -> None:
    """Have a signed request's body leave no faster than `pace`."""
    if isinstance(request.body, bytes | bytearray) and request.body:
        request.body = PacedBody(request.body, pace)


def actions_of(operation: str) -> str:
    """The IAM actions that a request needs, for messages."""
    needed = " and ".join(ACTIONS.get(operation, (operation,)))
    also = ", ".join(f"for {what} {action}" for what, action in ALSO.get(operation, {}).items())
    return f"{needed} ({also})" if also else needed


def code_of(error: ClientError) -> str:
    """The service's own word for what is wrong, or the HTTP status where it gave none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def explained(bucket: str, key: str | None = None) -> Iterator[None]:
    """Turn the client's errors within the block into StoreError, saying what to do."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explain(error, bucket, key) from error


def explain(error: BotoCoreError | ClientError, bucket: str, key: str | None = None) -> StoreError:
    """What `error` means for `bucket` and `key`, and what to do."""
    what = f"bucket {bucket}" if key is None else f"{key} in bucket {bucket}"
    if isinstance(error, _NO_CREDENTIALS):
        return NoCredentials(
            f"no usable AWS credentials for bucket {bucket} ({type(error).__name__}): run 'aws configure', "
            "or set AWS_PROFILE, then run again"
        )
    if isinstance(error, ClientError):
        return _explain_answer(error, bucket, what)
    if isinstance(error, (ConnectionFailed, HTTPClientError, IncompleteReadError)):
        return Unreachable(
            f"{what}: the service cannot be reached ({error}): check the network and endpoint_url, then run again"
        )
    return StoreError(f"{what}: the request could not be made: {error}")


def _explain_answer(error: ClientError, bucket: str, what: str) -> StoreError:
    code, status, operation = code_of(error), status_of(error), error.operation_name
    if code in _BAD_CREDENTIALS:
        return NoCredentials(
            f"bucket {bucket}: the credentials are refused, {_BAD_CREDENTIALS[code]} ({code}): "
            "renew them, then run again"
        )
    if code == "RequestTimeTooSkewed":
        return Denied(
            f"{what}: this machine's clock differs from the service's by more than 15 minutes ({code}): set the clock"
        )
    if code in _WRONG_REGION or status == 301:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region", "another region")
        return Denied(f"bucket {bucket} is in {region} ({code}): correct region in the configuration")
    if code == "NoSuchBucket" or (operation == "HeadBucket" and status == 404):
        return BucketMissing(f"bucket {bucket} does not exist: create it, or correct its name in the configuration")
    if code == "InvalidObjectState":
        return Archived(
            f"{what} is archived ({code}): `snakemake restore` with tier=Standard asks for it to be brought back"
        )
    message = str(error.response.get("Error", {}).get("Message", ""))
    if status == 403:
        told = _NOT_AUTHORIZED.search(message)
        needed = told[1] if told else actions_of(operation)
        return Denied(f"{what}: permission denied ({code}): these credentials need {needed}; see docs/iam")
    if status == 404:
        return NotFound(f"{what} does not exist ({code})")
    if status == 429 or status >= 500:
        return Unreachable(
            f"{what}: the service fails or throttles ({status} {code}), also after retries: run again later"
        )
    return StoreError(f"{what}: {operation} was refused ({status} {code}): {message}")
