"""Azure's client: where its credentials come from, when a request is made again, and what its errors mean in words.

Errors are raised without what caused them: the texts of the HTTP library hold whole addresses, and an address may hold
a SAS, which is a secret.
"""

import ipaddress
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    DeserializationError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient
from requests.adapters import HTTPAdapter

from ecogvault.stores.answers import demand_whole_answers
from ecogvault.stores.errors import (
    Archived,
    BadSettings,
    BucketMissing,
    Denied,
    NoCredentials,
    NotFound,
    StoreError,
    Unreachable,
)

CONNECT_SECONDS = 10
READ_SECONDS = 60
ATTEMPTS = 6  # per request: about half a minute
LONGEST_PAUSE = 20.0  # seconds, also when the service asks for more

T = TypeVar("T")

# The variables of Azure's own command line. Source: Azure CLI, "Environment variables", storage.
_CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
_KEY = "AZURE_STORAGE_KEY"
_SAS = "AZURE_STORAGE_SAS_TOKEN"
_ACCOUNT = "AZURE_STORAGE_ACCOUNT"

# Source: Azure Storage REST API, "Authorize with Microsoft Entra ID" and "Create a service SAS", permissions per
# operation; built-in roles: Storage Blob Data Reader and Contributor.
_PERMISSIONS = {
    "read": "permission to read (SAS: r; role: Storage Blob Data Reader)",
    "list": "permission to list (SAS: l; role: Storage Blob Data Reader)",
    "write": "permission to create and write (SAS: cw; role: Storage Blob Data Contributor)",
    "delete": "permission to delete (SAS: d; role: Storage Blob Data Contributor)",
}
_REFUSED = {
    "AuthorizationFailure": "the account's firewall does not let this machine in, or the key or SAS is not right",
    "AuthorizationSourceIPMismatch": "the SAS is for other addresses than this machine's",
    "AuthorizationProtocolMismatch": "the SAS is for https only",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys: sign in with `az login`, or use a role",
    "PublicAccessNotPermitted": "no credentials were sent, and the account is not public",
    "NoAuthenticationInformation": "no credentials were sent",
    "AccountIsDisabled": "the account is disabled",
    "BlobImmutableDueToPolicy": "an immutability policy protects it",
    "LeaseIdMissing": "another program holds a lease on it",
}


def open_container(account_url: str, container: str, *, name: str, connections: int) -> ContainerClient:
    """A client of one container, with the credentials that the environment gives. Makes no request.

    These are, in this order: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, and the
    chain of azure-identity (`az login`, a managed identity, AZURE_CLIENT_ID and its like). `name` is the
    destination's. Raises BadSettings, NoCredentials.
    """
    require_safe(account_url, f"destinations.{name}.account_url")
    if urlsplit(account_url).query:
        raise BadSettings(f"destinations.{name}.account_url holds a query: a SAS is a secret, give it as {_SAS}")
    service = BlobServiceClient(account_url, credential=credential(account_url, os.environ), **_options(connections))
    return service.get_container_client(container)


def open_blob(url: str, *, connections: int) -> BlobClient:
    """A client of the one blob that a pasted address names; without a SAS in it, of a public blob. Makes no request.

    Raises BadSettings.
    """
    require_safe(url, "the address")
    try:
        return BlobClient.from_blob_url(url, **_options(connections))
    except ValueError:
        raise BadSettings(
            "the address is not that of a blob: it is https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH?SAS"
        ) from None


def _options(connections: int) -> dict[str, Any]:
    demand_whole_answers()
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=connections))
    return {
        "transport": RequestsTransport(session=session, session_owner=False),
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retry_total": 0,  # `attempted` tries again: the client's own policy does not for 429
        # A range is read with one request, and no more is asked for than the caller wants.
        "max_single_get_size": 64 * 1024 * 1024,
        "max_chunk_get_size": 64 * 1024 * 1024,
        "max_single_put_size": 5000 * 1024 * 1024,
    }


def require_safe(url: str, what: str) -> None:
    """Raise BadSettings unless `url` is https; http is for servers on this machine only. `url` is not shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and (host == "localhost" or _is_loopback(host)):
        return
    raise BadSettings(f"{what} must begin with https://: keys and data never go over an open line")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def account_of(account_url: str) -> str:
    """The account's name: the first part of the host, or of the path where the host is an address (as Azurite's)."""
    parts = urlsplit(account_url)
    host = parts.hostname or ""
    path = parts.path.strip("/").partition("/")[0]
    return path if path and (host == "localhost" or _is_loopback(host)) else host.partition(".")[0]


def credential(account_url: str, environment: Mapping[str, str]) -> Any:
    """What the client is to sign its requests with; see open_container. Raises NoCredentials for what cannot fit."""
    account = account_of(account_url)
    said = environment.get(_CONNECTION_STRING)
    if said:
        words = dict(part.split("=", 1) for part in said.strip().split(";") if "=" in part)
        named = words.get("AccountName")
        if named not in (None, account):
            raise NoCredentials(f"{_CONNECTION_STRING} is for account {named}, and account_url for {account}")
        if words.get("AccountKey"):
            return {"account_name": account, "account_key": words["AccountKey"]}
        if words.get("SharedAccessSignature"):
            return words["SharedAccessSignature"].lstrip("?")
        raise NoCredentials(f"{_CONNECTION_STRING} holds neither AccountKey nor SharedAccessSignature: copy it again")
    if environment.get(_KEY):
        named = environment.get(_ACCOUNT)
        if named not in (None, "", account):
            raise NoCredentials(f"{_ACCOUNT} names account {named}, and account_url is for {account}")
        return {"account_name": account, "account_key": environment[_KEY].strip()}
    if environment.get(_SAS):
        return environment[_SAS].strip().lstrip("?")
    return _chain()


@cache
def _chain() -> Any:
    """The chain of azure-identity, one for the process: it keeps its token, which `az login` takes a second to give."""
    from azure.identity import DefaultAzureCredential  # half a second that those with a key need not spend

    # What each of the chain's nine ways missed would go to stderr, a page of it beside our one line.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    return DefaultAzureCredential()


def code_of(error: BaseException) -> str:
    """The service's own word for what is wrong; empty where it gave none."""
    return str(getattr(getattr(error, "error_code", None), "value", getattr(error, "error_code", None)) or "")


def status_of(error: BaseException) -> int:
    """The HTTP status, 0 if there was no answer."""
    return int(getattr(error, "status_code", None) or 0)


def attempted(send: Callable[[], T], attempts: int = ATTEMPTS) -> T:
    """The answer to a request that is made again after what may pass: no answer, 408, 429 and 5xx.

    With backoff and full jitter, or after as long as the service asks for. Raises what the last attempt raised.
    """
    for number in range(attempts - 1):
        try:
            return send()
        except (AzureError, DeserializationError) as error:
            if not _may_pass(error):
                raise
            asked = _retry_after(error)
            pause = random.uniform(0, 0.25 * 2**number) if asked is None else asked
        threading.Event().wait(min(pause, LONGEST_PAUSE))
    return send()


def _may_pass(error: AzureError | DeserializationError) -> bool:
    if isinstance(error, ClientAuthenticationError):
        return False
    status = status_of(error)
    # 501 and 505 say that the service will never do it.
    return status == 0 or status in (408, 429) or (status >= 500 and status not in (501, 505))


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None


@contextmanager
def explained(where: str, key: str | None = None, *, needs: str = "read") -> Iterator[None]:
    """Turn the client's errors within the block into StoreError, saying what to do; see explain."""
    try:
        yield
    except (AzureError, DeserializationError) as error:
        raise explain(error, where, key, needs=needs) from None


def explain(error: Exception, where: str, key: str | None = None, *, needs: str = "read") -> StoreError:
    """What `error` means for `key` in `where` (such as "container ecog"), and what to do.

    `needs` is what the request needed permission for: read, list, write or delete.
    """
    what = where if key is None else f"{key} in {where}"
    code, status = code_of(error), status_of(error)
    if status == 0:
        return _explain_silence(error, what, where)
    if code in ("BlobArchived", "BlobBeingRehydrated"):
        return archived(what, pending=code == "BlobBeingRehydrated")
    if code == "ContainerNotFound" or (status == 404 and key is None):
        return BucketMissing(f"{where} does not exist: create it, or correct its name in the configuration")
    if code == "ContainerBeingDeleted":
        return BucketMissing(f"{where} is being deleted: wait, or correct its name in the configuration")
    if status == 404:
        return NotFound(f"{what} does not exist ({code or status})")
    if code in _REFUSED:
        return Denied(f"{what}: refused ({code}): {_REFUSED[code]}")
    if code in ("AuthenticationFailed", "InvalidAuthenticationInfo") or status == 401:
        return _explain_authentication(error, where, code or str(status))
    if status == 403:
        return Denied(f"{what}: permission denied ({code}): these credentials need {_PERMISSIONS[needs]}")
    if status == 429 or status >= 500:
        return Unreachable(
            f"{what}: the service fails or throttles ({status} {code}), also after retries: run again later"
        )
    return StoreError(f"{what}: the request was refused ({status} {code})")


def archived(what: str, *, pending: bool) -> Archived:
    """The error for a blob in the Archive tier."""
    if pending:
        return Archived(f"{what} is being brought back from the Archive tier, which takes hours: run again later")
    return Archived(
        f"{what} is in the Archive tier and cannot be read: `snakemake restore` with tier=Standard has it brought "
        "back, which takes hours (by hand: set its tier to Hot at Azure)"
    )


def _explain_silence(error: Exception, what: str, where: str) -> StoreError:
    if isinstance(error, ClientAuthenticationError):
        return NoCredentials(
            f"no usable Azure credentials for {where}: set {_KEY}, {_SAS} or {_CONNECTION_STRING}, or run `az login`, "
            "then run again"
        )
    if isinstance(error, (DecodeError, DeserializationError)):
        return Unreachable(
            f"{what}: the answer cannot be read: check what stands between this machine and the service, then run again"
        )
    if isinstance(error, (ServiceRequestError, ServiceResponseError, IncompleteReadError)):
        # The error's own text holds the whole address.
        inner = error.inner_exception or error
        return Unreachable(
            f"{what}: the service cannot be reached ({type(inner).__name__}): check the network and account_url, then "
            "run again"
        )
    return StoreError(f"{what}: the request could not be made ({type(error).__name__})")


def _explain_authentication(error: Exception, where: str, code: str) -> StoreError:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    told = f"{getattr(error, 'message', '')} {headers.get('x-ms-error-detail', '')}"
    if "Signed expiry time" in told or "Signature not valid in the specified time frame" in told:
        return NoCredentials(
            f"{where}: the SAS is not valid now ({code}): its time is over, or this machine's clock is wrong"
        )
    if "date header" in told.lower():
        return Denied(
            f"{where}: this machine's clock differs from the service's by more than 15 minutes ({code}): set the clock"
        )
    return NoCredentials(
        f"{where}: the credentials are refused ({code}): the key or SAS is not this account's, or was renewed: get the "
        "present one, then run again (a clock that is wrong by more than 15 minutes does this, too)"
    )
