"""What the service checks in names, sizes and ranges. Pure."""

import re

from ecogvault.digests import LEAF
from ecogvault.sandbox.glacier.errors import bad, missing

MIB = LEAF
MAX_PARTS = 10_000
MAX_PART = 4 * 1024 * MIB
MAX_ARCHIVE = 4 * 1024 * MIB
"""The largest archive in one request: 4 GB ("Upload Archive (POST archive)")."""

_VAULT = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_DESCRIPTION = re.compile(r"[\x20-\x7e]{0,1024}")
_HASH = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/\*")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_BYTES = re.compile(r"(\d+)-(\d+)")


def vault_name(name: str) -> str:
    """1 to 255 of a-z, A-Z, 0-9, `_`, `-`, `.` ("Create Vault (PUT vault)")."""
    if not _VAULT.fullmatch(name):
        raise bad(f"Invalid vault name: {name[:300]}")
    return name


def description(text: str | None) -> str:
    """At most 1,024 characters of printable ASCII, 32 to 126 ("Upload Archive (POST archive)")."""
    if text is None:
        return ""
    if not _DESCRIPTION.fullmatch(text):
        raise bad("Invalid archive description: at most 1,024 characters of 7-bit ASCII, values 32 to 126")
    return text


def digest(name: str, value: str | None) -> str:
    """A SHA-256 in hex that the request must carry ("Computing Checksums")."""
    if value is None:
        raise missing(name)
    if not _HASH.fullmatch(value):
        raise bad(f"Invalid {name}: {value[:80]}")
    return value


def part_size(value: str | None) -> int:
    """A MiB times a power of two, at most 4 GiB ("Initiate Multipart Upload (POST multipart-uploads)")."""
    if value is None:
        raise missing("x-amz-part-size")
    size = int(value) if value.isdigit() else 0
    count, rest = divmod(size, MIB)
    if rest or size > MAX_PART or count < 1 or count & (count - 1):
        raise bad(
            f"Invalid part size: {value[:40]}. Part size must not be null, must be a power of two and be in bytes"
        )
    return size


def part_range(value: str | None, size: int, length: int) -> tuple[int, int]:
    """The inclusive range of a part, which begins at a multiple of the part size and holds the body exactly.

    Source: "Upload Part (PUT uploadID)". No part is empty, none is longer than the part size, and none is the
    10,001st or a later one ("Uploading Large Archives in Parts", quick facts).
    """
    if value is None:
        raise missing("Content-Range")
    match = _CONTENT_RANGE.fullmatch(value)
    if match is None:
        raise bad(f"Invalid Content-Range: {value[:80]}")
    start, end = int(match[1]), int(match[2])
    if end < start or end - start + 1 != length:
        raise bad(f"Content-Range: {value} is incompatible with Content-Length: {length}")
    if start % size or length > size:
        raise bad(f"Content-Range: {value} is not aligned with the part size {size}")
    if start // size >= MAX_PARTS:
        raise bad(f"Content-Range: {value}: an archive has at most {MAX_PARTS} parts")
    return start, end


def retrieval_range(value: str | None, size: int) -> tuple[int, int]:
    """The inclusive range that a retrieval is of: MiB-aligned, or to the archive's end ("Initiate Job (POST jobs)")."""
    if value is None:
        return 0, size - 1
    match = _BYTES.fullmatch(value)
    start, end = (int(match[1]), int(match[2])) if match else (1, 0)
    if start > end or end >= size or start % MIB or ((end + 1) % MIB and end + 1 != size):
        raise bad(f"Invalid byte range: {value[:80]}: it must be megabyte aligned and within the archive")
    return start, end


def output_range(value: str | None, size: int) -> tuple[int, int]:
    """The inclusive range of a job's output that is asked for ("Get Job Output (GET output)")."""
    if value is None:
        return 0, size - 1
    match = _RANGE.fullmatch(value)
    start, end = (int(match[1]), int(match[2])) if match else (1, 0)
    if start > end or start >= size or end >= size:
        raise bad(f"Invalid range: {value[:80]}: the output has {size} bytes")
    return start, end


def is_tree_hash_aligned(start: int, end: int, size: int) -> bool:
    """Whether the inclusive range is a node of the tree over `size` bytes.

    Source: "Receiving Checksums When Downloading Data": a range is tree-hash aligned if and only if the root of the
    tree built over it is a node of the whole archive's tree. In MiB, with [first, last): within the archive the length
    is a power of two and divides `first`; up to the archive's end the next power of two does.
    """
    if start % MIB or ((end + 1) % MIB and end + 1 != size):
        return False
    first, last, total = start // MIB, -(-(end + 1) // MIB), -(-size // MIB)
    length = last - first
    rounded = 1 << (length - 1).bit_length()
    if last == total:
        return first % rounded == 0
    return length == rounded and first % length == 0
