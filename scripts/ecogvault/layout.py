"""Object keys: where each file of a unit lies at a destination. Pure.

A layout is a template per kind with the fields {code}, {n}, {unit}, {g} (generation), {file} (the coded file name, in
session folders with its sub-folder) and {snc|vtc} (which text output it is). Source: DESIGN, section 5, "Object keys".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product

from ecogvault.destination import ConfigError, Destination, per_kind
from ecogvault.manifest import Manifest
from ecogvault.naming import CODE_PATTERN, KINDS, Unit

TARBALL = "{code}/{unit}.g{g}.tar.zst.age"
FILES: Mapping[str, str] = {
    "edf": "{code}_edf/{file}",
    "vid": "{code}/{code}_{n}/{file}",
    "sync": "{code}_sync/{snc|vtc}/{file}",
}
PRESETS: Mapping[str, Mapping[str, str]] = {
    "nas": {"edf": "edf/{code}/{file}", "vid": "video/{code}/{code}_{n}/{file}", "sync": "{snc|vtc}/{code}/{file}"},
}
HOW_TO_OPEN = "HOW-TO-OPEN.txt"
# A statement's or a manifest's key.
BESIDE = re.compile(rf"(?P<code>{CODE_PATTERN})/{CODE_PATTERN}_\d+_\w+\.g\d+\.(statement\.json|manifest\.age)")

_FIELD = re.compile(r"\{([^{}]*)\}")
# Sessions and generations whose digits run together in a template that does not part them.
_SOME_NUMBERS = (1, 11, 111)
_FIELDS = ("code", "n", "unit", "g", "file", "snc|vtc")


def template(destination: Destination, kind: str) -> str:
    """The key template of `kind` at a destination."""
    layout = destination.settings.get("layout")
    if isinstance(layout, str) and layout in PRESETS:
        layout = PRESETS[layout]
    default: str | Mapping[str, str] = TARBALL if destination.form == "tarball" else FILES
    found = per_kind(layout, kind)
    return str(found if found is not None else per_kind(default, kind))


def tarball_key(destination: Destination, unit: Unit, generation: int) -> str:
    """The key of a unit's sealed tarball."""
    return _fill(template(destination, unit.kind), unit, generation, "", "")


def file_key(destination: Destination, unit: Unit, generation: int, path: str) -> str:
    """The key of one file; `path` is its path in the manifest. `.age` is appended where it goes encrypted."""
    top, _, rest = path.partition("/")
    name = rest.removeprefix(f"{unit.session}/") if unit.kind == "vid" else rest
    key = _fill(template(destination, unit.kind), unit, generation, name, top)
    return key + ".age" if destination.encrypts(unit.kind) else key


def statement_key(unit: Unit, generation: int) -> str:
    """The key of a seal statement."""
    return f"{unit.code}/{unit}.g{generation}.statement.json"


def manifest_key(unit: Unit, generation: int) -> str:
    """The key of the encrypted manifest that lies beside a set of files."""
    return f"{unit.code}/{unit}.g{generation}.manifest.age"


def pattern(destination: Destination, kind: str) -> re.Pattern[str]:
    """What the keys of `kind` at a destination look like; the group `code` is the subject."""
    fields = {"n": r"\d+", "unit": rf"{CODE_PATTERN}_\d+_\w+", "g": r"\d+", "file": r".+", "snc|vtc": "(?:snc|vtc)"}
    text = template(destination, kind)
    parts, last, named = [], 0, False
    for match in _FIELD.finditer(text):
        parts.append(re.escape(text[last : match.start()]))
        if match[1] == "code":
            parts.append("(?P=code)" if named else f"(?P<code>{CODE_PATTERN})")
            named = True
        else:
            parts.append(fields[match[1]])
        last = match.end()
    parts.append(re.escape(text[last:]))
    whole = "".join(parts) + (r"(?:\.age)?" if destination.form == "files" else "")
    if not named:
        # A layout without {code} has it in {unit} or in the file's own name.
        whole = rf"(?=.*?(?P<code>{CODE_PATTERN})_\d+){whole}"
    return re.compile(whole)


def excluded(destination: Destination, unit: Unit, manifest: Manifest) -> list[str]:
    """Paths of the manifest that a destination of form `files` leaves out (`exclude:`, patterns of file names)."""
    if destination.form == "tarball":
        return []
    patterns = [pattern.casefold() for pattern in destination.excludes(unit.kind)]
    names = ((entry.path, entry.path.rpartition("/")[2].casefold()) for entry in manifest)
    return [path for path, name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def check(destinations: Iterable[Destination]) -> None:
    """Raise ConfigError for a layout that is no template of keys, or in which two files could have one key.

    Statements and HOW-TO-OPEN.txt are among these files.
    """
    for destination in destinations:
        taken: dict[tuple[str, str], object] = {}
        for kind in filter(destination.takes, KINDS):
            _check_fields(destination, kind)
            bucket = destination.room(kind)
            for key, owner in _keys(destination, kind):
                if taken.setdefault((bucket, key), owner) != owner or key == HOW_TO_OPEN:
                    raise ConfigError(
                        f"destinations.{destination.name}.layout: two different files would have one key "
                        f"(kind {kind}): add {{file}}, {{unit}} or {{g}} to the template"
                    )
        folders = {(bucket, key[:at]) for bucket, key in taken for at, sign in enumerate(key) if sign == "/"}
        if folders & taken.keys():
            raise ConfigError(
                f"destinations.{destination.name}.layout: a file would have the name of a folder that others lie in"
            )


def _keys(destination: Destination, kind: str) -> Iterator[tuple[str, object]]:
    """Keys that a layout must tell apart, each with what it stands for."""
    for unit, path in _samples(kind):
        for generation in _SOME_NUMBERS:
            yield statement_key(unit, generation), ("statement", unit, generation)
            if destination.form == "tarball":
                yield tarball_key(destination, unit, generation), ("tarball", unit, generation)
            else:
                yield manifest_key(unit, generation), ("manifest", unit, generation)
                yield file_key(destination, unit, generation, path), ("file", unit, path)


def _check_fields(destination: Destination, kind: str) -> None:
    text = template(destination, kind)
    where = f"destinations.{destination.name}.layout for kind {kind}"
    unknown = [field for field in _FIELD.findall(text) if field not in _FIELDS]
    if unknown or "{" in _FIELD.sub("", text) or "}" in _FIELD.sub("", text):
        raise ConfigError(f"{where}: a template knows only {', '.join('{' + field + '}' for field in _FIELDS)}")
    if text.startswith("/") or any(part in ("", ".", "..") for part in text.split("/")):
        raise ConfigError(f"{where}: a key is a relative path without empty or dotted parts")


def _samples(kind: str) -> list[tuple[Unit, str]]:
    """Units and paths that a layout must tell apart."""
    found = []
    for code, number in product(("a0000000", "b0000000"), _SOME_NUMBERS):
        unit = Unit(code, number, kind)
        names = {
            "vid": [
                f"vid/{unit.session}/{unit.session}_0001.avi",
                f"vid/{unit.session}/decimated/{unit.session}_0001.avi",
            ],
            "sync": [f"snc/{unit.session}.txt", f"vtc/{unit.session}.txt"],
        }.get(kind, [f"{kind}/{unit.session}.{kind}"])
        found += [(unit, name) for name in names]
    return found


def _fill(text: str, unit: Unit, generation: int, name: str, stream: str) -> str:
    values = {
        "code": unit.code,
        "n": str(unit.number),
        "unit": str(unit),
        "g": str(generation),
        "file": name,
        "snc|vtc": stream,
    }
    return _FIELD.sub(lambda match: values[match[1]], text)
