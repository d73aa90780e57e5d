"""Proving that an age identity still opens what is sealed, and remembering when that was last done for each recipient.

`private/keychecks.jsonl` is a journal (see records) with a line for each key that was proven: `at` (UTC), `recipient`
(fingerprint), `lists` (the settings whose files name it), `opened` (the unit whose sealed tarball it opened, or null).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.age import (
    CHUNK,
    AgeError,
    BytesSource,
    FileSource,
    KeyPair,
    Listed,
    Sealer,
    listed_recipients,
    new_envelope,
    open_sealed,
)
from ecogvault.config import Config
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import append_journal, read_journal, read_record, utc_now

FILE = "keychecks.jsonl"
LISTS = ("recipients", "registry_recipients")
RANKS = ("daily", "escrow", "further")
NEVER = "never"
_SUFFIX = ".statement.json"


class KeyFails(EcogvaultError):
    """An age identity does not open what it must open."""


@dataclass(frozen=True)
class Place:
    """Where a recipient stands: the setting that names the file, its line there, and its comment.

    `rank` is `daily` for the first recipient of the file, `escrow` for the second, `further` for others.
    """

    setting: str
    file: Path
    line: int
    rank: str
    comment: str

    def __str__(self) -> str:
        comment = f" ({self.comment})" if self.comment else ""
        return f"{self.file}, line {self.line}: {self.rank}{comment}"


@dataclass(frozen=True)
class Known:
    """A listed recipient: its fingerprint, where it stands, and when its key was last proven (UTC, or `never`)."""

    fingerprint: str
    places: tuple[Place, ...]
    checked: str


@dataclass(frozen=True)
class Sealed:
    """What the sealed tarballs here say of a recipient: how many are encrypted to it, and the newest of those."""

    to_it: int
    others: int
    newest: Unit | None


def known_recipients(config: Config, private: Private | None) -> list[Known]:
    """Every recipient of both files, in their order. A file that is not there lists nobody. Raises age.BadRecipient."""
    checked = last_checks(private)
    places: dict[str, list[Place]] = {}
    for setting in LISTS:
        for rank, listed in enumerate(_listed(config.path(setting))):
            place = Place(setting, config.path(setting), listed.line, RANKS[min(rank, 2)], listed.comment)
            places.setdefault(listed.recipient.fingerprint, []).append(place)
    return [Known(one, tuple(some), checked.get(one, NEVER)) for one, some in places.items()]


def _listed(path: Path) -> Sequence[Listed]:
    try:
        return listed_recipients(path)
    except FileNotFoundError:
        return ()


def last_checks(private: Private | None) -> Mapping[str, str]:
    """When each key was last proven, by the fingerprint of its recipient. Raises Damaged."""
    lines = read_journal(private.root / FILE) if private is not None else []
    return {str(line["recipient"]): str(line["at"]) for line in lines}


def round_trip(key: KeyPair) -> None:
    """Encrypt random bytes to the key's recipient, and decrypt them. Raises KeyFails."""
    # More than one chunk, so that the numbering of chunks takes part.
    plain = secrets.token_bytes(CHUNK + 1)
    sealed = bytearray()
    with Sealer(new_envelope([key.recipient()]), sealed.extend) as sealer:
        sealer.write(plain)
    try:
        opened = open_sealed(BytesSource(sealed), [key])
        right = bytes(opened.read_at(0, opened.size)) == plain
    except AgeError:
        right = False
    if not right:
        raise KeyFails(
            f"the key of recipient {key.recipient().fingerprint} does not open what is encrypted to it: the machine or "
            "this program is at fault; try another machine"
        )


def sealed_here(config: Config, fingerprint: str) -> Sealed:
    """The sealed tarballs of this machine, by what their statements say of the recipient. Damaged ones do not count."""
    paths = Paths.of(config)
    mine: list[tuple[str, Unit]] = []
    others = 0
    for path in sorted(paths.sealed_root.glob(f"*/sealed/*{_SUFFIX}")):
        unit = Unit.parse(path.name.removesuffix(_SUFFIX))
        if not paths.sealed(unit).exists():
            continue
        try:
            statement: Mapping[str, Any] = read_record(path)
        except Damaged:
            continue  # the next run that needs it says so
        if fingerprint in statement["recipients"]:
            mine.append((str(statement["at"]), unit))
        else:
            others += 1
    return Sealed(len(mine), others, max(mine)[1] if mine else None)


def require_opens(config: Config, unit: Unit, key: KeyPair) -> None:
    """Raise KeyFails unless the key opens the unit's sealed tarball: its header, and its last chunk."""
    path = Paths.of(config).sealed(unit)
    with open(path, "rb", buffering=0) as stream:
        try:
            open_sealed(FileSource(stream.fileno()), [key])
        except AgeError as error:
            raise KeyFails(
                f"the key of recipient {key.recipient().fingerprint} does not open {path}, whose statement names it: "
                f"{error}"
            ) from None


def note(private: Private, fingerprint: str, places: Sequence[Place], opened: Unit | None) -> str:
    """Remember that a key was proven now. Returns the time (UTC)."""
    at = utc_now()
    line = {
        "at": at,
        "recipient": fingerprint,
        "lists": [place.setting for place in places],
        "opened": str(opened) if opened else None,
    }
    with private.lock("keychecks"):
        append_journal(private.root / FILE, line, **private.modes)
    return at
