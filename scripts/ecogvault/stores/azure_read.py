"""Reading a blob of Azure in ranges: several under way at once, taken up where they broke, compared at the end."""

import hashlib
from base64 import b64decode
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from ecogvault.stores.azure_client import archived, attempted, code_of, explained, status_of
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.pieces import MIB

WINDOW = 8 * MIB  # bytes asked for by one request
AHEAD = 3  # requests under way beside the one whose bytes are wanted next


@dataclass(frozen=True)
class Facts:
    """What the service says of a blob: `size` in bytes, `md5` in hex where it keeps one, `etag` as it came."""

    size: int
    etag: str
    md5: str | None


def facts_of(blob: BlobClient, where: str, key: str, *, attempts: int) -> Facts:
    """Ask for a blob's facts. Raises NotFound, Archived and other StoreErrors."""
    with explained(where, key):
        found = attempted(blob.get_blob_properties, attempts)
    if found.blob_tier == "Archive":
        raise archived(f"{key} in {where}", pending=bool(found.archive_status))
    md5 = found.content_settings.content_md5
    return Facts(int(found.size), str(found.etag), bytes(md5).hex() if md5 else None)


@dataclass(frozen=True)
class Reader:
    """Reads one blob. `version_id` as in Stored, `pool` is where requests ahead of time run."""

    blob: BlobClient
    where: str
    key: str
    pool: Executor
    attempts: int
    version_id: str | None = None

    def pieces(self, offset: int, length: int | None) -> Iterator[bytes]:
        """The bytes from `offset` on. Raises WrongBytes at the end if the whole was read and has another MD5."""
        first, facts = self._first(offset, length)
        end = facts.size if length is None else min(offset + length, facts.size)
        if length is not None and offset + length > facts.size:
            raise WrongBytes(f"{self.key} in {self.where} is shorter than {offset + length} bytes: verify it")
        md5 = hashlib.md5()
        for piece in self._all(first, facts, offset, end):
            md5.update(piece)
            yield piece
        if offset == 0 and end == facts.size and facts.md5 not in (None, md5.hexdigest()):
            raise WrongBytes(
                f"{self.key} in {self.where}: what was received is not what the service keeps the MD5 of: run again"
            )

    def from_on(self, facts: Facts, offset: int) -> Iterator[bytes]:
        """The bytes of the blob that `facts` are of, from `offset` to its end. Raises WrongBytes if it was replaced."""
        yield from self._all(b"", facts, offset, facts.size)

    def _all(self, first: bytes, facts: Facts, offset: int, end: int) -> Iterator[bytes]:
        if first:
            yield first
        starts = iter(range(offset + len(first), end, WINDOW))
        ahead: deque[Future[bytes]] = deque()
        try:
            while True:
                while len(ahead) <= AHEAD and (start := next(starts, None)) is not None:
                    ahead.append(self.pool.submit(self._range, start, min(WINDOW, end - start), facts.etag))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            for one in ahead:
                one.cancel()

    def _first(self, offset: int, length: int | None) -> tuple[bytes, Facts]:
        """The first range, and with it what the service says of the whole: one request for what is small."""
        told: dict[str, str] = {}
        wanted = WINDOW if length is None else min(WINDOW, length)
        with explained(self.where, self.key):
            try:
                piece = self._ask(offset, wanted, told)
            except HttpResponseError as error:
                if status_of(error) != 416:
                    raise
                told = {}
        if not told:  # nothing stands at `offset`: the blob is empty, or ends before
            facts = facts_of(self.blob, self.where, self.key, attempts=self.attempts)
            if offset > facts.size:
                raise WrongBytes(f"{self.key} in {self.where} is shorter than {offset} bytes: verify it")
            return b"", facts
        md5 = told.get("x-ms-blob-content-md5") or (None if "content-range" in told else told.get("content-md5"))
        size = int(told["content-range"].rpartition("/")[2]) if "content-range" in told else len(piece)
        return piece, Facts(size, told["etag"], b64decode(md5).hex() if md5 else None)

    def _range(self, offset: int, length: int, etag: str) -> bytes:
        with explained(self.where, self.key):
            try:
                piece = self._ask(offset, length, {}, etag=etag, match_condition=MatchConditions.IfNotModified)
            except HttpResponseError as error:
                if code_of(error) == "ConditionNotMet" or status_of(error) == 412:
                    raise WrongBytes(f"{self.key} in {self.where} was replaced while it was read: run again") from None
                raise
        if len(piece) != length:
            raise WrongBytes(f"{self.key} in {self.where}: a range came back shorter than asked for: run again")
        return piece

    def _ask(self, offset: int, length: int, told: dict[str, str], **condition: Any) -> bytes:
        def keep(response: Any) -> None:
            told.update({name.lower(): value for name, value in response.http_response.headers.items()})

        if self.version_id:
            condition["version_id"] = self.version_id

        def send() -> bytes:
            told.clear()
            stream = self.blob.download_blob(offset=offset, length=length, raw_response_hook=keep, **condition)
            return bytes(stream.readall())

        return attempted(send, self.attempts)
