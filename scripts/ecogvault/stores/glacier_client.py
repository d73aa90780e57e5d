"""The client of Glacier's vaults, and what its errors mean in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
from botocore.loaders import Loader, create_loader

from ecogvault.stores.errors import Denied, NoCredentials, StoreError, Unreachable
from ecogvault.stores.glacier_types import (
    ArchiveUnknown,
    JobGone,
    NoCapacity,
    NoInventory,
    NotReady,
    PolicyForbids,
    UploadForgotten,
    VaultMissing,
)
from ecogvault.stores.s3_client import CONNECT_SECONDS, READ_SECONDS, code_of, explain, status_of

if TYPE_CHECKING:
    from mypy_boto3_glacier.client import GlacierClient


def make_client(*, endpoint_url: str | None, region: str | None, connections: int, attempts: int) -> "GlacierClient":
    """A client with credentials from boto3's own chain. Makes no request. Raises NoCredentials, StoreError."""
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # "standard" retries 5xx, throttling, resets and timeouts, with exponential backoff and full jitter.
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
    )
    core = botocore.session.get_session()
    core.register_component("data_loader", _loader())
    try:
        return boto3.Session(botocore_session=core).client(
            "glacier", endpoint_url=endpoint_url, region_name=region, config=settings
        )
    except ProfileNotFound as error:
        raise NoCredentials(f"AWS_PROFILE names a profile that does not exist: {error}") from error
    except ValueError as error:
        raise StoreError(f"endpoint_url {endpoint_url} is not an address: {error}") from error


@cache
def _loader() -> Loader:
    """Amazon's descriptions of its services, read once for all clients of a process."""
    return create_loader()


@contextmanager
def explained(vault: str, what: str | None = None) -> Iterator[None]:
    """Turn the client's errors within the block into StoreError, saying what to do. `what` is a key or a job."""
    try:
        yield
    except ClientError as error:
        raise explain_answer(error, vault, what) from error
    except BotoCoreError as error:
        # Not answering and lacking credentials are said as for S3, but for the word.
        plain = explain(error, vault, what)
        raise type(plain)(str(plain).replace(f"bucket {vault}", f"vault {vault}")) from error


def explain_answer(error: ClientError, vault: str, what: str | None) -> StoreError:
    """What an answer means, and what to do. Codes: Developer Guide, "Error Responses"."""
    code, operation = code_of(error), error.operation_name
    message = str(error.response.get("Error", {}).get("Message", ""))
    where = f"vault {vault}" if what is None else f"{what} in vault {vault}"
    if code in ("UnrecognizedClientException", "ExpiredTokenException", "MissingAuthenticationTokenException"):
        return NoCredentials(
            f"vault {vault}: the credentials are unknown to the service, or have expired ({code}): renew them, then "
            "run again"
        )
    if code == "InvalidSignatureException":
        if "expired" in message or "not yet current" in message:
            return Denied(
                f"{where}: this machine's clock differs from the service's by more than 15 minutes: set the clock"
            )
        return NoCredentials(
            f"vault {vault}: the secret access key does not belong to the access key id ({code}): correct the "
            "credentials, then run again"
        )
    if code == "AccessDeniedException":
        locked = " The vault's lock or access policy forbids it, whoever asks." if "explicit deny" in message else ""
        return Denied(
            f"{where}: permission denied ({code}): these credentials need glacier:{operation} on this vault.{locked}"
        )
    if code == "PolicyEnforcedException":
        return PolicyForbids(
            f"{where}: the account's data retrieval policy does not permit so much at once: wait an hour, use "
            "`--config tier=Bulk`, which it does not limit, or have the policy raised (aws glacier "
            "set-data-retrieval-policy)"
        )
    if code == "InsufficientCapacityException":
        return NoCapacity(
            f"{where}: Amazon has no capacity for Expedited retrievals now: run again later, or with "
            "`--config tier=Standard`"
        )
    if code == "ResourceNotFoundException":
        return _not_found(operation, message, vault, where)
    if "not currently available for download" in message:
        return NotReady(f"{where}: the job has not ended yet: run again later")
    if message.startswith("Invalid vault name") and operation in ("InitiateJob", "DeleteArchive"):
        return ArchiveUnknown(f"{where} is an archive of another vault: correct `vault` in the configuration")
    status = status_of(error)
    if status in (408, 429) or status >= 500 or code == "ThrottlingException":
        return Unreachable(
            f"{where}: the service fails or throttles ({status} {code}), also after retries: run again later"
        )
    return StoreError(f"{where}: {operation} was refused ({status} {code}): {message}")


def _not_found(operation: str, message: str, vault: str, where: str) -> StoreError:
    if message.startswith("Vault not found"):
        return VaultMissing(
            f"vault {vault} does not exist: create it (aws glacier create-vault --account-id - --vault-name {vault}), "
            "or correct `vault` or `region` in the configuration"
        )
    if operation in ("UploadMultipartPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"):
        return UploadForgotten(f"{where}: the service has forgotten the upload, as it does after 24 idle hours")
    if operation in ("DescribeJob", "GetJobOutput"):
        return JobGone(f"{where}: the job is unknown, or its output has expired, as it does after 24 hours: run again")
    if operation == "InitiateJob" and "nventory" in message:
        return NoInventory(
            f"vault {vault} has no inventory yet: Amazon makes the first within a day of the first upload"
        )
    return ArchiveUnknown(f"{where}: there is no such archive: it was deleted, or the archive id is wrong")
