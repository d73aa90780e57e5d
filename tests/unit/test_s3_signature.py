"""Our signatures are those that botocore, the reference for Python, gives for the same request."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.stores.s3_signature import signed

HOST = "bucket.s3.us-west-2.amazonaws.com"


@dataclass(frozen=True)
class Keys:
    access_key: str
    secret_key: str
    token: str | None = None


words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
keys = st.builds(Keys, st.from_regex(r"[A-Z0-9]{16,20}", fullmatch=True), words, st.none() | st.just("a+token/="))
metadata = st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True), words, max_size=4)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


@given(st.text(min_size=1, max_size=30), metadata, keys, st.sampled_from(["us-west-2", "eu-central-1"]), moments)
def test_a_request_is_signed_as_botocore_signs_it(key, metadata, keys, region, now):
    path = "/" + quote(key, safe="/~")
    headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
    headers |= {"If-None-Match": "*", "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}
    request = AWSRequest("PUT", f"https://{HOST}{path}", headers=headers, data=b"content")
    request.context["client_config"] = Config(s3={"payload_signing_enabled": False})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda *rest: now.replace(tzinfo=None))
        botocore.auth.S3SigV4Auth(keys, "s3", region).add_auth(request)
    ours = signed("PUT", HOST, path, headers, keys=keys, region=region, now=now)
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours["X-Amz-Date"] == request.headers["X-Amz-Date"]
    assert ours["X-Amz-Content-SHA256"] == request.headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
    assert ours.get("X-Amz-Security-Token") == request.headers.get("X-Amz-Security-Token") == keys.token
