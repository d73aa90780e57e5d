"""Registering: a person gets a code once, and their raw folders are added to it."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ecogvault.files import in_one_another
from ecogvault.person import Person, letters
from ecogvault.private import Private
from ecogvault.records import utc_now
from ecogvault.registry.errors import RegistryRefused
from ecogvault.registry.people import Same, compare, merge
from ecogvault.registry.shift import draw
from ecogvault.registry.tables import (
    AUTO,
    CODED,
    EVERYTHING,
    SURNAME,
    RawPart,
    Subject,
    find,
    load,
    load_parts,
    save,
    save_parts,
)

NEW = "new"  # what `--code` says when a similar person is registered, but is another one
_SHORTEST_NAME_IN_A_CODE = 3
NOWHERE: Mapping[str, Path] = {}

DecideMatch = Callable[[Path, Person], str]


def register(
    private: Private,
    person: Person,
    raw: Path | None,
    match: str | None,
    *,
    code: str | None = None,
    decide_match: DecideMatch,
    apart_from: Mapping[str, Path] = NOWHERE,
) -> str:
    """The code of `person`, who is registered if they are not yet; `raw` becomes another part of theirs if it is new.

    A new subject is `arriving`. A known one keeps its status, except that a new folder makes a `closed` one `arriving`
    again. What was missing of a known person is filled in, other spellings become other names. `match` says which
    items of the folder are the person's; None or `auto` asks `decide_match(raw, person)`. The same folder again is no
    new part, but takes a `match` that is given. `code` says who it is when only part of the data agrees with somebody
    registered: their code, or `new` for somebody else. `apart_from` are folders that `raw` may not lie in or around, by
    what the message calls them.

    Raises RegistryRefused, Damaged, and OSError as it comes; then nothing has changed.
    """
    if match is not None:
        _check_match(match)
    if raw is not None:
        raw = _raw_folder(raw, {str(private.root): private.root, **apart_from})
    decided = match
    if raw is not None and match in (None, AUTO):
        # Reading a large folder takes long, so this is done before anybody has to wait for the lock.
        known = _identify(load(private), person, code)
        decided = decide_match(raw, merge(known.person, person) if known else person)
    with private.lock():
        subjects = load(private)
        known = _identify(subjects, person, code)
        if known:
            updated = replace(known, person=merge(known.person, person))
        else:
            updated = Subject(
                _new_code(private, subjects, person), "arriving", person, shift_days=draw(), registered=utc_now()
            )
        before = load_parts(private)
        after = before if raw is None else _with_folder(before, updated.code, raw, match, decided or AUTO)
        if len(after) > len(before) and updated.status == "closed":
            updated = replace(updated, status="arriving")
        if not known:
            save(private, [*subjects, updated])
        elif updated != known:
            save(private, [updated if subject is known else subject for subject in subjects])
        if after != before:
            save_parts(private, after)
    return updated.code


def register_coded(
    private: Private, codes: Iterable[str], raw: Path, *, apart_from: Mapping[str, Path] = NOWHERE
) -> list[str]:
    """Add a folder of already coded recordings and session folders to the subjects whose codes stand in its names.

    Returns the codes, sorted. A closed subject is `arriving` again when the folder is new to it. Raises RegistryRefused
    when a code is not registered or its person is not known (then no name could be looked for in what is archived),
    Damaged, and OSError as it comes; then nothing has changed.
    """
    folder = _raw_folder(raw, {str(private.root): private.root, **apart_from})
    wanted = sorted(set(codes))
    with private.lock():
        subjects = load(private)
        before = after = load_parts(private)
        for code in wanted:
            if not _living(find(subjects, code)).person.surname:
                raise RegistryRefused(
                    f"nobody is registered under {code}, so that no name could be looked for: register the lab's "
                    "spreadsheet first (ecogvault adopt --spreadsheet FILE)"
                )
            more = _with_folder(after, code, folder, CODED, CODED)
            if len(more) > len(after):
                subjects = [
                    replace(one, status="arriving") if one.code == code and one.status == "closed" else one
                    for one in subjects
                ]
            after = more
        if after != before:
            save(private, subjects)
            save_parts(private, after)
    return wanted


def _identify(subjects: Sequence[Subject], person: Person, code: str | None) -> Subject | None:
    """The registered subject that `person` is, or None for a new one. Raises RegistryRefused when that is unclear."""
    found = {subject.code: compare(subject.person, person) for subject in subjects if subject.person.surname}
    same = [subject for subject in subjects if found.get(subject.code) is Same.SAME]
    similar = [subject.code for subject in subjects if found.get(subject.code) is Same.MAYBE]
    if code == NEW:
        if same:
            raise RegistryRefused(f"this person is already registered, as {_codes(s.code for s in same)}")
        return None
    if code is not None:
        return _chosen(find(subjects, code), found.get(code, Same.OTHER), same)
    if len(same) > 1:
        raise RegistryRefused(
            f"this person's data agree with {_codes(s.code for s in same)}: say which it is with --code CODE"
        )
    if not same and similar:
        raise RegistryRefused(
            f"part of this person's data agree with {_codes(similar)}, part are missing or differ: "
            f"say --code CODE if it is the same person, or --code {NEW} if it is another one"
        )
    return _living(same[0]) if same else None


def _chosen(subject: Subject, likeness: Same, same: Sequence[Subject]) -> Subject:
    others = [other.code for other in same if other is not subject]
    if others and likeness is not Same.SAME:
        raise RegistryRefused(f"this person is registered as {_codes(others)}, not as {subject.code}")
    if likeness is Same.OTHER:
        raise RegistryRefused(
            f"this person's data have too little in common with {subject.code}: check the code and the data"
        )
    return _living(subject)


def _living(subject: Subject) -> Subject:
    if subject.status == "erased":
        raise RegistryRefused(f"{subject.code} is erased and takes no data any more")
    return subject


def _codes(codes: Iterable[str]) -> str:
    return " and ".join(codes)


def _new_code(private: Private, subjects: Sequence[Subject], person: Person) -> str:
    """A random code that nobody has or had here, and that spells no registered name by chance."""
    used = {subject.code for subject in subjects} | {part.code for part in load_parts(private)}
    used |= {entry.name for entry in private.root.iterdir()}
    people = [person, *(subject.person for subject in subjects)]
    spelt = {letters(name) for one in people for name in (one.surname, one.given, *one.other_names)}
    while True:
        code = _draw()
        names = (name for name in spelt if len(name) >= _SHORTEST_NAME_IN_A_CODE)
        if code not in used and not any(name in code for name in names):
            return code


def _draw() -> str:
    return secrets.choice("abcdef") + secrets.token_hex(4)[:7]


# --- raw folders ------------------------------------------------------------------------------------------------------


def _check_match(match: str) -> None:
    if not match.strip() or not match.isprintable():
        raise RegistryRefused("the pattern (match) is empty or holds control characters")
    if match.startswith("@") and match not in (SURNAME, CODED):
        raise RegistryRefused(f"the pattern (match) begins with @, and the only such words are {SURNAME} and {CODED}")


def _raw_folder(raw: Path, apart_from: Mapping[str, Path]) -> Path:
    folder = Path(os.path.abspath(raw.expanduser()))
    if not folder.is_dir():
        raise RegistryRefused("the raw folder does not exist, or is no folder, or may not be read: check its path")
    for name, other in apart_from.items():
        if in_one_another(folder, other):
            raise RegistryRefused(f"the raw folder and {name} lie in one another: raw data need a folder of their own")
    return folder


def _with_folder(raw_parts: list[RawPart], code: str, raw: Path, match: str | None, decided: str) -> list[RawPart]:
    """`raw_parts` with `raw` among the parts of `code`. `match` is what was asked for, `decided` what to use."""
    for part in raw_parts:
        if part.code != code and part.match == EVERYTHING == decided and _same_folder(part.path, raw):
            raise RegistryRefused(
                f"everything in this raw folder is registered as {part.code}'s: give a pattern (match) to both"
            )
    ours = [part for part in raw_parts if part.code == code]
    for part in ours:
        if _same_folder(part.path, raw):
            if match is None and part.match != AUTO:
                return raw_parts
            return [replace(p, match=decided) if p is part else p for p in raw_parts]
    number = max((part.part for part in ours), default=0) + 1
    return [*raw_parts, RawPart(code, number, raw, decided, added=utc_now())]


def _same_folder(one: Path, other: Path) -> bool:
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:
        # A folder that is gone or out of reach is only known by its path.
        return False
