"""Whether a request is signed with a key that the service knows: AWS Signature Version 4, by botocore's own signer.

Source: "Authentication Requirements" and "Signing Requests" of the Developer Guide. Requests older or younger than 15
minutes are refused; this is measured by the machine's clock and not by the movable one, since clients sign with that.
"""

import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ecogvault.sandbox.glacier.errors import Refused

SKEW_SECONDS = 15 * 60
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<signed>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


def require_signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Mapping[str, str],
    region: str,
    skew: float = 0.0,
) -> None:
    """Raise Refused unless the request is signed by one of `keys` (access key id to secret) for this region.

    `headers` have lower-case names, `path` includes the query; `skew` is added to the machine's clock.
    """
    given = headers.get("authorization")
    if given is None:
        raise Refused("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    match = _AUTHORIZATION.fullmatch(given)
    stamp = headers.get("x-amz-date", "")
    if match is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise Refused("InvalidSignatureException", "The Authorization header or X-Amz-Date is malformed")
    secret = keys.get(match["key"])
    if secret is None:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if (match["region"], match["service"], match["date"]) != (region, "glacier", stamp[:8]):
        raise Refused("InvalidSignatureException", f"Credential should be scoped to region {region}, service glacier")
    now = time.time() + skew
    signed_at = timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    if abs(now - signed_at) > SKEW_SECONDS:
        late = "earlier" if signed_at < now else "later"
        limit = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        raise Refused("InvalidSignatureException", f"Signature expired: {stamp} is now {late} than {limit} allows")
    names = match["signed"].split(";")
    if not {"host", "x-amz-date"} <= set(names) or any(name not in headers for name in names):
        raise Refused("InvalidSignatureException", "The headers that must be signed are not")
    request = AWSRequest(method, f"http://{headers['host']}{path}", {name: headers[name] for name in names}, body)
    if "x-amz-content-sha256" not in names:
        request.data = body
    request.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(match["key"], secret), "glacier", region)
    wanted = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if not hmac.compare_digest(wanted, match["signature"]):
        raise Refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )


def require_content(headers: Mapping[str, str], linear: str) -> None:
    """Raise Refused unless the body is what `x-amz-content-sha256` says, where it is given ("Signing Requests")."""
    told = headers.get("x-amz-content-sha256")
    if told is not None and told != linear:
        raise Refused(
            "InvalidSignatureException", "The value passed in as x-amz-content-sha256 does not match the body"
        )
