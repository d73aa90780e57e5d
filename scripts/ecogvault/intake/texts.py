"""Which session an SNC or VTC text belongs to. Pure: sessions and texts with times in, places out.

What people call a text, and the folder they put it into, says little: its first row tells when the session began. Where
a session has no text of a kind, one is made of the table in its own session folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ecogvault.intake.find import Item
from ecogvault.intake.headers import Timed

WINDOW = timedelta(minutes=10)


@dataclass(frozen=True)
class Session:
    """A session that texts may belong to.

    `folders` are its session folders (part, path), `texts` which of `snc` and `vtc` it has already.
    """

    number: int
    start: datetime
    stems: frozenset[str]
    folders: frozenset[tuple[int, str]]
    texts: frozenset[str]


def assign(
    sessions: Sequence[Session], timed: Sequence[Timed], window: timedelta, stem_of: Callable[[Item], str]
) -> tuple[list[tuple[int, Timed]], list[tuple[Timed, str]]]:
    """The session number of each text or table that has a place, and why the others have none.

    A text belongs to the session that starts within `window` of its first row; of two such, to the one that has its
    stem. A text without any time is placed by its stem. A table is taken where its session has no text of its kind; one
    that is not needed is neither placed nor reported, since it is part of its session folder anyway.
    """
    placed: list[tuple[int, Timed]] = []
    left: list[tuple[Timed, str]] = []
    claims: dict[tuple[int, str], list[Timed]] = {}
    by_number = {session.number: session for session in sessions}
    for one in timed:
        if one.item.home is None:
            found = _candidates(sessions, one, window, stem_of(one.item))
            if len(found) == 1:
                claims.setdefault((found[0].number, one.item.role), []).append(one)
            else:
                left.append((one, "two sessions" if found else "no session"))
    for (number, role), some in claims.items():
        first, others = _chosen(by_number[number], role, some, stem_of)
        if first is not None:
            placed.append((number, first))
        left += others
    for session in sessions:
        for one in timed:
            kind = one.item.path.rpartition(".")[2].casefold()
            wanted = kind not in session.texts and (session.number, kind) not in claims
            if one.item.home is not None and (one.item.part, one.item.home) in session.folders and wanted:
                if one.item.role == "unread":
                    left.append((one, one.item.note))
                else:
                    placed.append((session.number, one))
    return placed, left


def _candidates(sessions: Sequence[Session], one: Timed, window: timedelta, stem: str) -> list[Session]:
    start = one.start
    if start is None:
        return [session for session in sessions if stem in session.stems]
    near = [session for session in sessions if abs(session.start - start) <= window]
    named = [session for session in near if stem in session.stems]
    return named if len(near) > 1 and len(named) == 1 else near


def _chosen(
    session: Session, role: str, some: Sequence[Timed], stem_of: Callable[[Item], str]
) -> tuple[Timed | None, list[tuple[Timed, str]]]:
    """Which of the texts of one kind that belong to a session is taken, and why the others are not."""
    if role in session.texts:
        return None, [(one, "second text") for one in some]
    named = [one for one in some if stem_of(one.item) in session.stems]
    first = named[0] if named else some[0]
    others = [one for one in some if one is not first]
    different = [one for one in others if (one.start, one.item.size) != (first.start, first.item.size)]
    if different and len(named) != 1:
        return None, [(one, "two texts") for one in some]
    return first, [(one, "second text" if one in different else "copy") for one in others]
