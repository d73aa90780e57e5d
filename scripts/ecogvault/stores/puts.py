"""What a put comes down to in more than one store: who else is at the key, and what is said of what is found there."""

import random
import threading

from ecogvault.stores.base import Present, Stored, Whole
from ecogvault.stores.errors import KeyTaken, StoreError

PUT_ATTEMPTS = 6
SEND_ATTEMPTS = 3  # of one request, when its body does not arrive as it was sent


class Again(StoreError):
    """The condition of the last request did not hold, or the upload has vanished: look at the key again.

    `whole` is what was sent, and `sent` how much: it may be there after all, when only the answer was lost.
    """

    whole: Whole | None = None
    sent: int = 0


def step_back(round_number: int) -> None:
    """Wait for a moment that grows: somebody else was at this key in the same one."""
    threading.Event().wait(random.uniform(0, 0.1 * 2**round_number))


def taken(key: str, where: str) -> KeyTaken:
    """The error for a key under which other content stands."""
    return KeyTaken(
        f"{key} in {where} is taken by other content, which is never overwritten: find out whose it is (`ecogvault "
        "rebuild --from` this destination enters copies of this lab's that no ledger knows)"
    )


def achieved(
    key: str, bucket: str | None, there: Present, *, adopted: bool, sha256_tree: str = "", sent: int = 0
) -> Stored:
    """What a put has achieved, from what stands under its key now; see Stored."""
    return Stored(
        key=key,
        bucket=bucket,
        version_id=there.version_id,
        etag=there.etag,
        size=there.size,
        part_size=None,
        crc64nvme=there.checksum,
        md5=there.md5,
        sha256_tree=sha256_tree,
        bytes_sent=sent,
        adopted=adopted,
    )


class Ahead:
    """The keys that a listing of their surroundings has shown, before many small objects are put there."""

    def __init__(self, prefix: str, keys: frozenset[str]) -> None:
        self._prefix, self._keys = prefix, keys

    def lacks(self, key: str) -> bool:
        """Whether `key` lies where was looked, and was not seen."""
        return key.startswith(self._prefix) and key not in self._keys
