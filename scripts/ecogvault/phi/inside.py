"""What lies inside compound files: the streams of .doc and .epo files, the parts of .docx files.

A stream of a compound file is scattered over sectors of 512 bytes, and a part of a .docx file is compressed, so that a
name in them may be nowhere in the file's bytes as they lie. Sources: Microsoft, MS-CFB (through `olefile`), MS-OLEPS
(the streams that begin with byte 5 hold properties: short texts, each with its length), ECMA-376 (a .docx is a ZIP of
XML files, in which a word may be cut by tags).
"""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from ecogvault.phi.patterns import Region
from ecogvault.phi.sources import Source, Stream

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_ZIP = b"PK\x03\x04"
_LARGEST = 256 * 1024 * 1024  # bytes of one stream or part that are held in memory


class Unreadable(Exception):
    """A compound file that cannot be looked into to its end: what is in there is not known."""


@dataclass(frozen=True)
class Inner:
    """One stream or part. `part` is how findings call it: never by its own name, which may be a person's."""

    part: str
    region: Region
    data: bytes = field(repr=False)


def inside(source: Source) -> Iterator[Inner]:
    """What lies inside `source`, if it is a compound file by its first bytes; the names of its parts come first.

    Raises Unreadable, and OSError if the file itself cannot be read.
    """
    magic = source.read(0, 8)
    if magic == _OLE:
        opened = _streams(source)
    elif magic.startswith(_ZIP):
        opened = _parts(source)
    else:
        return
    try:
        yield from opened
    except Exception as error:
        # The parsers raise whatever damaged input leads them to; a failing disk has an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable from error


def _streams(source: Source) -> Iterator[Inner]:
    import olefile

    with olefile.OleFileIO(Stream(source), raise_defects=olefile.DEFECT_INCORRECT) as file:
        paths = file.listdir(streams=True, storages=True)
        names = "\n".join("/".join(path) for path in paths)
        yield Inner("stream names", Region.NOTES, names.encode("utf-8", "surrogatepass"))
        for number, path in enumerate(file.listdir(), start=1):
            if file.get_size(path) > _LARGEST:
                raise Unreadable
            region = Region.NOTES if path[-1].startswith("\x05") else Region.STRINGS
            yield Inner(f"stream {number}", region, file.openstream(path).read())


def _parts(source: Source) -> Iterator[Inner]:
    with zipfile.ZipFile(Stream(source)) as file:
        parts = [info for info in file.infolist() if not info.is_dir()]
        names = "\n".join(info.filename for info in parts)
        yield Inner("part names", Region.NOTES, names.encode("utf-8", "surrogatepass"))
        for number, info in enumerate(parts, start=1):
            if info.file_size > _LARGEST:
                raise Unreadable
            data = file.read(info)
            is_xml = info.filename.lower().endswith((".xml", ".rels"))
            yield Inner(f"part {number}", Region.NOTES if is_xml else Region.STRINGS, data)
            if is_xml:
                yield Inner(f"part {number} without tags", Region.NOTES, re.sub(rb"<[^>]*>", b"", data))
