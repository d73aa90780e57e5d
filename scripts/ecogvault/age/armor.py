"""ASCII armor: an age file as text, for mail and paper.

Source: C2SP age.md v1, "ASCII armor" (strict PEM, RFC 7468, section 3, figure 3). As the specification allows, white
space around the block and line ends of either kind are accepted; anything else that armor() would not write is refused.
"""

import base64
import binascii
from collections.abc import Iterator

from ecogvault.age.errors import ArmorError
from ecogvault.age.source import Fill, filling_after, take

BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_BYTES_PER_LINE = 48
_SPACE = b" \t\r\n\v\f"
_SPACE_LIMIT = 1024
_BLOCK = 64 * 1024


def armor(data: bytes) -> bytes:
    """An age file (`data`) in armor."""
    lines = [BEGIN]
    lines += [base64.b64encode(data[at : at + _BYTES_PER_LINE]) for at in range(0, len(data), _BYTES_PER_LINE)]
    return b"\n".join([*lines, END, b""])


def looks_armored(head: bytes) -> bool:
    """Whether a file that begins with `head` means to be armored, rightly or not."""
    if head.startswith(b"age-encryption.org/"):
        return False
    return head.lstrip(_SPACE).startswith(b"-----") or b"-----BEGIN AGE ENCRYPTED FILE" in head.upper()


def dearmor(data: bytes) -> bytes:
    """The age file inside an armored one. Raises ArmorError."""
    return b"".join(_decoded(filling_after(data, lambda _: 0)))


def dearmoring(fill: Fill) -> Fill:
    """The age file inside the armored one that `fill` reads. The returned function raises ArmorError."""
    pieces = _decoded(fill)
    waiting = memoryview(b"")

    def decoded(buffer: memoryview) -> int:
        nonlocal waiting
        done = 0
        while done < len(buffer):
            if not waiting:
                waiting = memoryview(next(pieces, b""))
                if not waiting:
                    break
            count = min(len(waiting), len(buffer) - done)
            buffer[done : done + count] = waiting[:count]
            waiting = waiting[count:]
            done += count
        return done

    return decoded


def _lines(fill: Fill) -> Iterator[bytes]:
    """Lines with their line ends; the last may have none. White space before the first line is passed over."""
    waiting = b""
    skipped = 0
    while block := take(fill, _BLOCK):
        if skipped >= 0:
            stripped = block.lstrip(_SPACE)
            skipped += len(block) - len(stripped)
            if skipped > _SPACE_LIMIT:
                raise ArmorError("there is too much white space before the armor's first line")
            block = stripped
            if not block:
                continue
            skipped = -1
        *whole, waiting = (waiting + block).splitlines(keepends=True) if b"\n" in block else [waiting + block]
        if waiting.endswith(b"\n"):
            whole.append(waiting)
            waiting = b""
        yield from whole
        if len(waiting) > _BLOCK:
            raise ArmorError("a line of the armor is too long")
    if waiting:
        yield waiting


def _without_end(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(b"\n") else line


def _decoded(fill: Fill) -> Iterator[bytes]:
    lines = _lines(fill)
    first = next(lines, b"")
    if _without_end(first) != BEGIN or not first.endswith(b"\n"):
        raise ArmorError(f"the armor does not begin with the line '{BEGIN.decode()}'")
    ended = False
    for number, line in enumerate(lines, start=2):
        text = _without_end(line)
        if text == END:
            break
        if ended or not text or len(text) > _COLUMNS or not line.endswith(b"\n"):
            raise ArmorError(f"line {number} of the armor is not as it must be: each has 64 characters but the last")
        data = _decode_line(text, number)
        ended = len(data) < _BYTES_PER_LINE
        yield data
    else:
        raise ArmorError(f"the armor does not end with the line '{END.decode()}'")
    space = 0
    for line in lines:
        space += len(line)
        if line.strip(_SPACE) or space > _SPACE_LIMIT:
            raise ArmorError("something follows the end of the armor")


def _decode_line(text: bytes, number: int) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        data = b""
    if base64.b64encode(data) != text:
        raise ArmorError(f"line {number} of the armor is not canonical base64")
    return data
