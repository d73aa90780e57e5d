"""Signature version 4 of one S3 request whose body is vouched for by a checksum among its headers. Pure.

Source: Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring Payload in a Single
Chunk"; the body's digest is the literal UNSIGNED-PAYLOAD, which S3 takes.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Protocol

_ALGORITHM = "AWS4-HMAC-SHA256"
_BODY = "UNSIGNED-PAYLOAD"


class Keys(Protocol):
    """AWS credentials, as botocore has them; `token` is that of a session, if it is one."""

    access_key: str
    secret_key: str
    token: str | None


def signed(
    method: str, host: str, path: str, headers: Mapping[str, str], *, keys: Keys, region: str, now: datetime
) -> dict[str, str]:
    """`headers` and those that the service demands, all of them signed.

    `path` is percent-encoded and begins with `/`; there is no query. `host` is as the request's Host header says it,
    `now` (UTC) within 15 minutes of the service's clock. Header values are ASCII.
    """
    time = now.strftime("%Y%m%dT%H%M%SZ")
    found = {**headers, "Host": host, "X-Amz-Date": time, "X-Amz-Content-SHA256": _BODY}
    if keys.token:
        found["X-Amz-Security-Token"] = keys.token
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in found.items())
    names = ";".join(name for name, _ in canonical)
    lines = "".join(f"{name}:{value}\n" for name, value in canonical)
    request = f"{method}\n{path}\n\n{lines}\n{names}\n{_BODY}"
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    text = f"{_ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_signing_key(keys.secret_key, scope), text.encode(), "sha256").hex()
    found["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return found


@lru_cache(maxsize=1)
def _signing_key(secret_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
