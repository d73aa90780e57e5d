"""PutObject with little ado, for the many small files of a session folder.

The client takes 1.3 ms of CPU for a request, most of it to find out anew what is the same for each: half as much as it
takes to hash and encrypt the MiB that is sent. Here a request takes a quarter of that. Only a plain success counts, and
a condition that did not hold: everything else is left to the client, which asks once more, tries again where that may
help, and says what is wrong.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError

from ecogvault.stores.puts import Again
from ecogvault.stores.s3_signature import signed

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CONDITION_FAILED = (409, 412)

_log = logging.getLogger(__name__)


class QuickPuts:
    """Sends objects to one bucket with the credentials of `client`, over its connections. Thread-safe."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        # The client knows where the bucket is, and what headers are called.
        sample = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
        self._root = urlsplit(sample.split("?", 1)[0].removesuffix("k"))
        self._region = client.meta.region_name
        model: Any = client.meta.service_model.operation_model("PutObject")
        self._header = {
            name: str(shape.serialization["name"])
            for name, shape in model.input_shape.members.items()
            if shape.serialization.get("location") == "header" and shape.type_name == "string"
        }
        # There is no public way to a client's connections (with its certificates and proxies) and credentials.
        inside: Any = client
        self._session = inside._endpoint.http_session
        self._credentials = inside._request_signer._credentials
        self._refused = False

    @classmethod
    def of(cls, client: "S3Client", bucket: str) -> "QuickPuts | None":
        """None where a request needs more than a signature over its headers.

        That is a body that must be signed (see s3_client), an access point, and a directory bucket, which has sessions.
        """
        settings: Mapping[str, Any] = getattr(client.meta.config, "s3", None) or {}
        if settings.get("payload_signing_enabled") is not False or ":" in bucket or bucket.endswith("--x-s3"):
            return None
        return cls(client, bucket)

    def put(
        self, key: str, body: bytearray, metadata: Mapping[str, str], arguments: Mapping[str, Any]
    ) -> dict[str, str | None] | None:
        """What the service confirms, as the client has it; None when the client is to send it. Raises Again.

        `arguments` are PutObject's, but for bucket, key, body and metadata.
        """
        # The date of a retention, for one, is no string: the client knows its form.
        if self._refused or not arguments.keys() <= self._header.keys():
            return None
        headers = {self._header[name]: str(value) for name, value in arguments.items()}
        headers |= {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        if not all(value.isascii() for value in headers.values()):
            return None
        path = self._root.path + quote(key, safe="/~")
        keys = self._credentials.get_frozen_credentials()
        now = datetime.now(UTC)
        ready: Any = signed("PUT", self._root.netloc, path, headers, keys=keys, region=self._region, now=now)
        address = f"{self._root.scheme}://{self._root.netloc}{path}"
        try:
            answer = self._session.send(AWSPreparedRequest("PUT", address, ready, body, False))
        except BotoCoreError as error:
            _log.debug("%s: %s; the client sends it", key, error)
            return None
        if answer.status_code in _CONDITION_FAILED:
            raise Again(f"{key}: {answer.status_code}")
        if answer.status_code != 200:
            # A service that wants to be asked otherwise is asked by the client from now on.
            self._refused = 300 <= answer.status_code < 500
            _log.debug("%s: %s; the client sends it", key, answer.status_code)
            return None
        names = {"ETag": "etag", "VersionId": "x-amz-version-id", "ChecksumCRC64NVME": "x-amz-checksum-crc64nvme"}
        return {name: answer.headers.get(header) for name, header in names.items()}
