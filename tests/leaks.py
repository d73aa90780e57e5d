"""Whether a name is where none may be, by the rule of the gate: texts, paths, files and objects.

Snakemake's own records are looked at as well as ours: some are named by the base64 of a path, others are pickles.
"""

import base64
import binascii
import pickletools
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecogvault.person import Person
from ecogvault.phi import HEADER_WORDS, OWN_WORDS, Bytes, Hit, Names, sweep
from ecogvault.phi.regions import Reader, Span

_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|((?:\\[0-3][0-7]{2})+)")


@dataclass(frozen=True, order=True)
class Leak:
    """A name that was found: where, at which byte or character, and which identifier in which encoding."""

    where: str
    offset: int
    kind: str
    encoding: str


@dataclass(frozen=True)
class Stored:
    """What lies at a destination under one key."""

    bucket: str
    key: str
    size: int
    etag: str
    version_id: str | None
    metadata: dict[str, str]
    content: bytes


class LeakCheck:
    """Looks for the names of `people`. `own_words` are what a configuration names, such as destinations."""

    def __init__(self, people: Iterable[Person], own_words: Collection[str] = ()) -> None:
        self._names = Names.of(people)
        self._path_words = OWN_WORDS | set(own_words)

    def text(self, where: str, text: str) -> list[Leak]:
        """Leaks in a text, as it stands and with its escapes (JSON, Python, C, URL) resolved."""
        found = {_leak(where, hit) for hit in self._names.in_text(text, own_words=self._path_words | HEADER_WORDS)}
        for plainer in {resolved(text), urllib.parse.unquote(text, errors="surrogateescape")} - {text}:
            words = self._path_words | HEADER_WORDS
            found |= {_leak(where, hit) for hit in self._names.in_text(plainer, own_words=words)}
        return sorted(found)

    def content(self, where: str, path: str, data: bytes) -> list[Leak]:
        """Leaks in the bytes of a file: text, if they are text; else header, samples and others as for the gate."""
        text = _as_text(data)
        if text is not None and Path(path).suffix not in (".edf", ".bdf"):
            return self.text(where, text)
        found: list[Leak] = []

        def tell(span: Span, hits: Sequence[Hit], _read: Reader) -> None:
            found.extend(_leak(f"{where} ({span.part})" if span.part else where, hit) for hit in hits)

        sweep(Bytes(data), path, everyone=self._names, person=self._names, found=tell, path_words=self._path_words)
        return found

    def folder(
        self, root: Path, *, skip: Callable[[str], bool], skip_content: Callable[[str], bool] = lambda path: False
    ) -> list[Leak]:
        """Leaks in all paths below `root` and in all files.

        Paths are relative to `root`. What `skip` names is left out; of what `skip_content` names only the path counts.
        """
        found: list[Leak] = []
        for path in walk(root, skip):
            relative = str(path.relative_to(root))
            found += self.text(f"path {relative}", relative)
            for told in snakemake_path(relative):
                found += self.text(f"path {relative}, which stands for {told}", told)
            if path.is_symlink():
                found += self.text(f"link {relative}", str(path.readlink()))
            elif path.is_file() and not skip_content(relative):
                data = path.read_bytes()
                found += self.content(relative, relative, data)
                if path.suffix == ".pkl":
                    found += self.text(relative, "\n".join(pickled_texts(data)))
        return found

    def objects(self, objects: Iterable[Stored]) -> list[Leak]:
        """Leaks in the keys, metadata and content of objects."""
        found: list[Leak] = []
        for one in objects:
            where = f"{one.bucket}: {one.key}"
            told = "\n".join(f"{key}: {value}" for key, value in one.metadata.items())
            found += self.text(f"key {where}", one.key)
            found += self.text(f"metadata of {where}", told)
            found += self.content(f"content of {where}", one.key, one.content)
        return found


def _leak(where: str, hit: Hit) -> Leak:
    return Leak(where, hit.offset, hit.kind, hit.encoding)


def _as_text(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def resolved(text: str) -> str:
    """`text` with the escapes of JSON, of Python's repr and of octal bytes replaced by what they stand for."""

    def plain(match: re.Match[str]) -> str:
        if match[3]:
            return bytes(int(digits, 8) for digits in match[3].split("\\")[1:]).decode("utf-8", "replace")
        return chr(int(match[1] or match[2], 16))

    return _ESCAPES.sub(plain, text)


def walk(root: Path, skip: Callable[[str], bool], folder: Path | None = None) -> Iterator[Path]:
    """Everything below `root`, but nothing that `skip` names by its relative path, nor what is below that."""
    for path in sorted((folder or root).iterdir()):
        if not skip(str(path.relative_to(root))):
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from walk(root, skip, path)


def snakemake_path(relative: str) -> list[str]:
    """The path that a file of `.snakemake/metadata` or `.snakemake/incomplete` stands for, if it is one.

    Snakemake names them by the base64 of the path, in pieces when that is long.
    """
    match = re.fullmatch(r"\.snakemake/(?:metadata|incomplete)/(.+)", relative)
    if match is None:
        return []
    encoded = "".join(part.removeprefix("@") for part in match[1].split("/"))
    try:
        return [base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-8", "surrogateescape")]
    except binascii.Error:
        return []


def pickled_texts(data: bytes) -> list[str]:
    """All texts in a pickle, which is not executed."""
    return [argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)]
