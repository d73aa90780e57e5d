r"""Our own text formats, each with its own checksum: tables (TSV), records (JSON) and journals (JSONL).

* A table begins with `#ecogvault-NAME 1`, then a line of column names, then rows, and ends with `#sha256 HEX` over all
  bytes before that line. In a cell, backslash, tab, newline and carriage return are written `\\`, `\t`, `\n`, `\r`;
  bytes of a file name that are not UTF-8 are written `\xHH`.
* A record is one JSON object whose `self_sha256` is the SHA-256 of the canonical form (sorted keys, no spaces, ASCII)
  of all other keys.
* A journal has one JSON object a line; `self_sha256` as above, and `prev` is the `self_sha256` of the line before
  (64 zeros in the first).

Source: DESIGN, section 5, "Self-checks".
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecogvault.errors import Damaged
from ecogvault.files import append_line, replacing

FIRST = "0" * 64
_LAST_LINES = 4096  # bytes read at first to find the last line of a journal

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


def utc_now() -> str:
    """The time as our records write it: `2026-03-02T09:10:11Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- tables -----------------------------------------------------------------------------------------------------------


def _escape(cell: str) -> str:
    if cell.isprintable() and "\\" not in cell:
        return cell  # nearly all are; a large session's names are hundreds of thousands
    escaped = re.sub(r"[\\\t\n\r]", lambda match: _ESCAPES[match[0]], cell)
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", escaped)


def _unescape(cell: str) -> str:
    if "\\" not in cell:
        return cell

    def original(match: re.Match[str]) -> str:
        text = match[0]
        return chr(0xDC00 + int(text[2:], 16)) if text.startswith("\\x") else _UNESCAPES[text]

    return re.sub(r"\\(?:[\\tnr]|x[89a-f][0-9a-f])", original, cell)


def table_bytes(name: str, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """A table as bytes. Every row must have a text for each of `columns`."""
    lines = [f"#ecogvault-{name} 1", "\t".join(columns)]
    lines += ["\t".join(_escape(row[column]) for column in columns) for row in rows]
    body = ("\n".join(lines) + "\n").encode()
    return body + f"#sha256 {hashlib.sha256(body).hexdigest()}\n".encode()


def parse_table(data: bytes, name: str, columns: Sequence[str], *, what: str) -> list[dict[str, str]]:
    """The rows of a table. `what` is how messages call it. Raises Damaged."""
    body, marker, tail = data.rpartition(b"#sha256 ")
    if not marker or (body and not body.endswith(b"\n")) or tail != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise Damaged(f"{what} does not match its own checksum line: restore it from a copy, do not edit it by hand")
    try:
        lines = body.decode().split("\n")[:-1]
    except UnicodeDecodeError:
        raise Damaged(f"{what} is not UTF-8 text: restore it from a copy") from None
    if len(lines) < 2 or lines[0] != f"#ecogvault-{name} 1" or lines[1] != "\t".join(columns):
        raise Damaged(f"{what} is not a table of kind '{name}', version 1")
    rows = [[_unescape(cell) for cell in line.split("\t")] for line in lines[2:]]
    for number, row in enumerate(rows, start=3):
        if len(row) != len(columns):
            raise Damaged(
                f"{what}, line {number}: {len(row)} cells where {len(columns)} belong: restore it from a copy"
            )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def write_table(
    path: Path,
    name: str,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, str]],
    *,
    mode: int = 0o640,
    group: int | None = None,
) -> None:
    """Write a table, whole or not at all."""
    with replacing(path, mode=mode, group=group) as stream:
        stream.write(table_bytes(name, columns, rows))


def read_table(path: Path, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table written by write_table. Raises Damaged, and OSError as it comes."""
    return parse_table(path.read_bytes(), name, columns, what=str(path))


# --- records ----------------------------------------------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """The one byte form of a JSON value that digests and signatures are made over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def with_digest(record: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with its `self_sha256` as last key."""
    rest = {key: value for key, value in record.items() if key != "self_sha256"}
    return rest | {"self_sha256": hashlib.sha256(canonical(rest)).hexdigest()}


def check_digest(record: Any, *, what: str) -> dict[str, Any]:
    """`record` itself if it is an object whose `self_sha256` is right. Raises Damaged."""
    if not isinstance(record, dict) or with_digest(record).get("self_sha256") != record.get("self_sha256"):
        raise Damaged(f"{what} does not match its own checksum (self_sha256): restore it from a copy or remove it")
    return record


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """A record as indented JSON with its digest."""
    return json.dumps(with_digest(record), indent=1, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def parse_record(data: bytes, *, what: str) -> dict[str, Any]:
    """A record from bytes. Raises Damaged; every byte counts, white space too."""
    record = _parse(data, what=what)
    if record_bytes(record) != data:
        raise Damaged(f"{what} is not written as this program writes it: restore it from a copy or remove it")
    return record


def _parse(data: bytes, *, what: str) -> dict[str, Any]:
    try:
        return check_digest(json.loads(data), what=what)
    except ValueError:
        raise Damaged(f"{what} is not readable as JSON: restore it from a copy or remove it") from None


def write_record(path: Path, record: Mapping[str, Any], *, mode: int = 0o640, group: int | None = None) -> None:
    """Write a record, whole or not at all."""
    with replacing(path, mode=mode, group=group) as stream:
        stream.write(record_bytes(record))


def read_record(path: Path) -> dict[str, Any]:
    """Read a record written by write_record. Raises Damaged, and OSError as it comes."""
    return parse_record(path.read_bytes(), what=str(path))


# --- journals ---------------------------------------------------------------------------------------------------------


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All lines of a journal, oldest first; an absent file is an empty journal.

    Raises Damaged, naming the line. A last line without its newline is what a crash in the middle of an append leaves:
    it was never acknowledged to anybody, and is passed over.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    events: list[dict[str, Any]] = []
    previous = FIRST
    *lines, tail = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        event = _line(line, what=f"{path}, line {number},")
        if event["prev"] != previous:
            raise Damaged(f"{path}, line {number}, does not follow the line before it: a line is lost or out of place")
        previous = event["self_sha256"]
        events.append(event)
    _check_tail(tail, what=f"{path}, line {len(lines) + 1},")
    return events


def _line(line: bytes, *, what: str) -> dict[str, Any]:
    event = _parse(line, what=what)
    if canonical(event) != line or not isinstance(event.get("prev"), str):
        raise Damaged(f"{what} is not written as this program writes it: restore it from a copy")
    return event


def _check_tail(tail: bytes, *, what: str) -> None:
    """Raise Damaged when the unfinished line was whole once, that is, when its newline became another byte."""
    try:
        _line(tail[:-1], what=what)
    except Damaged:
        return
    raise Damaged(f"{what} does not end as this program ends it: restore it from a copy")


def append_journal(path: Path, event: Mapping[str, Any], *, mode: int = 0o640, group: int | None = None) -> None:
    """Add one event, chained to the last. The caller holds the lock that serialises writers of this journal.

    Only the last line is read and checked, so that the cost does not grow with the journal; read_journal checks all.
    An unfinished last line (see read_journal) is cut off first. Raises Damaged and OSError.
    """
    previous = FIRST
    if path.exists():
        last, whole, size = _last_line(path)
        if last is not None:
            previous = last["self_sha256"]
        if whole != size:
            with open(path, "r+b") as stream:
                stream.truncate(whole)
    chained = with_digest(dict(event) | {"prev": previous})
    append_line(path, canonical(chained) + b"\n", mode=mode, group=group)


def check_end(path: Path) -> None:
    """Raise Damaged unless the last line of an existing journal is one that append_journal would go on from."""
    _last_line(path)


def _last_line(path: Path) -> tuple[dict[str, Any] | None, int, int]:
    """The last whole line of a journal (None when there is none), the offset behind it, and the file's size."""
    with open(path, "rb") as stream:
        size = start = stream.seek(0, 2)
        data = b""
        # Two newlines enclose the last whole line, wherever an unfinished one begins.
        while start and data.count(b"\n") < 2:
            step = min(start, max(_LAST_LINES, len(data)))
            start -= step
            stream.seek(start)
            data = stream.read(step) + data
    lines, newline, tail = data.rpartition(b"\n")
    _check_tail(tail, what=f"{path}, its last line,")
    if not newline:
        return None, 0, size
    line = lines.rpartition(b"\n")[2]
    event = _line(line, what=f"{path}, its last line,")
    if start == 0 and b"\n" not in lines and event["prev"] != FIRST:
        raise Damaged(f"{path}, line 1, does not follow the line before it: a line is lost or out of place")
    return event, size - len(tail), size
