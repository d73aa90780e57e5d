"""The order of sessions. Pure: items with times in, rows of the assignment out.

A session is what shares a stem: a recording, a session folder, or both. Text outputs, whatever they are called, go to
the session at whose start their first row was written (see texts.py). Sessions are numbered by start; numbers that were
accepted never change. Source: DESIGN, section 4, "Order is accepted by a person".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ecogvault import synctext
from ecogvault.intake.find import Item, home, stem
from ecogvault.intake.headers import Timed
from ecogvault.intake.texts import WINDOW, Session, assign
from ecogvault.naming import RECORDING_KINDS, Unit

# Two sessions further apart than this are reported with the gap between them.
GAP = timedelta(hours=1)


@dataclass(frozen=True)
class Row:
    """One raw item's place in the assignment. `start` and `end` are the session's (UTC), `accepted` is when (UTC)."""

    unit: Unit
    role: str
    part: int
    item: str
    start: datetime
    end: datetime | None
    out_of_order: bool = False
    accepted: str = ""

    @property
    def stem(self) -> str:
        """What the items of this session share."""
        return stem(self.role, self.item)


# Why an item that is no part of any session gets no number, by its role.
NOT_NUMBERED: Mapping[str, str] = {"empty": "empty", "other": "no session", "link": "a link", "missing": "not there"}


@dataclass(frozen=True)
class Left:
    """An item that gets no number, and why.

    `copy` and `conflict`: another item has its place, with the same or with other content; `no start`: its headers do
    not say when it begins; `no session`: it belongs to nothing that is numbered; `number taken`: another session has
    the number that it bears; `a link`, `empty`, `not there`. For texts also `two sessions`, `two texts`, `second text`;
    for a table what is not known of it.
    """

    item: Item
    reason: str


@dataclass(frozen=True)
class Proposal:
    """New rows beyond what was accepted, and what is left without a number."""

    rows: tuple[Row, ...]
    left: tuple[Left, ...]


def unit_kind(role: str) -> str:
    """The kind of unit that an item of `role` belongs to."""
    return "sync" if role in ("snc", "vtc") else role


def propose(
    code: str,
    accepted: Sequence[Row],
    timed: Sequence[Timed],
    tops: Mapping[int, str] | None = None,
    window: timedelta = WINDOW,
    coded: Collection[int] = (),
) -> Proposal:
    """Rows for the items that `accepted` does not hold yet.

    `tops` maps a part to its raw folder's own name, which is the stem of a session folder that is the raw folder
    itself. `window` is how far a text's first row may be from its session's start. `coded` are parts whose items bear
    their session's number already, and keep it. The order in which `timed` comes changes nothing.
    """
    stems = _Stems(tops or {})
    known = {(row.part, row.item, row.role) for row in accepted}
    sizes = {(one.item.part, one.item.path, one.item.role): one.item.size for one in timed}
    taken = {(stems.of_row(row), row.role): row for row in accepted}
    left: list[Left] = []
    texts: list[Timed] = []
    groups: dict[str, dict[str, Timed]] = {}
    for one in sorted(timed, key=_place):
        item = one.item
        if (item.part, item.path, item.role) in known:
            continue
        if item.role in ("snc", "vtc", "unread"):
            texts.append(one)
            continue
        if item.role in NOT_NUMBERED:
            left.append(Left(item, NOT_NUMBERED[item.role]))
            continue
        group = stems.of_item(item)
        before = taken.get((group, item.role))
        first = groups.setdefault(group, {}).get(item.role)
        if before is not None:
            same = sizes.get((before.part, before.item, before.role), item.size) == item.size
            if item.role in RECORDING_KINDS:
                same = same and before.start in (one.start, one.other)
            left.append(Left(item, "copy" if same else "conflict"))
        elif first is not None:
            left.append(Left(item, "copy" if _facts(first) == _facts(one) else "conflict"))
        else:
            groups[group][item.role] = one
    joining, starting, without = _split(accepted, groups, stems)
    number = max((row.unit.number for row in accepted), default=0)
    last_start = max((row.start for row in accepted), default=None)
    rows = list(joining)
    fixed = {id(members): _own_number(members, coded) for _, _, members in starting}
    taken_numbers = {row.unit.number for row in accepted}
    number = max([number, *filter(None, fixed.values())])
    for start, end, members in sorted(starting, key=lambda session: (session[0], _first_path(session[2]))):
        own = fixed[id(members)]
        if own is not None and own in taken_numbers:
            left += [Left(one.item, "number taken") for one in members]
            continue
        if own is None:
            number += 1
        taken_numbers.add(own or number)
        late = last_start is not None and start < last_start
        rows += [_row(code, own or number, one.item, start, end, late) for one in members]
    placed, unplaced = assign(_sessions([*accepted, *rows], stems), texts, window, stems.of_item)
    head = {row.unit.number: row for row in [*accepted, *rows]}
    for target, one in placed:
        first_row = head[target]
        late = first_row.out_of_order and not first_row.accepted
        rows.append(_row(code, target, one.item, first_row.start, first_row.end, late))
    left += [*without, *(Left(one.item, reason) for one, reason in unplaced)]
    ordered = sorted(left, key=lambda one: (one.item.part, one.item.path, one.item.role))
    return Proposal(tuple(sorted(rows, key=lambda row: (row.unit, row.role))), tuple(ordered))


def _own_number(members: Sequence[Timed], coded: Collection[int]) -> int | None:
    """The session number that already coded items bear in their names, as `df5c5206_3` does; None for others."""
    for one in members:
        if one.item.part in coded:
            return int(one.item.stem.rpartition("_")[2])
    return None


def _sessions(rows: Sequence[Row], stems: "_Stems") -> list[Session]:
    """What texts may belong to: every session's start, its stems, its folders, and the texts that it has."""
    members: dict[int, list[Row]] = {}
    for row in rows:
        members.setdefault(row.unit.number, []).append(row)
    return [
        Session(
            number,
            some[0].start,
            frozenset(stems.of_row(row) for row in some if row.role not in ("snc", "vtc")),
            frozenset((row.part, row.item) for row in some if row.role == "vid"),
            frozenset(row.role for row in some if row.role in ("snc", "vtc")),
        )
        for number, some in sorted(members.items())
    ]


@dataclass(frozen=True)
class _Stems:
    """Stems of items and rows, where the raw folder itself goes by its own name."""

    tops: Mapping[int, str]

    def of_item(self, item: Item) -> str:
        return self._of(item.role, item.part, item.path)

    def of_row(self, row: Row) -> str:
        return self._of(row.role, row.part, row.item)

    def _of(self, role: str, part: int, path: str) -> str:
        if "." in (path, home(role, path)):
            return stem("vid", self.tops.get(part, "."))
        return stem(role, path)


def _place(one: Timed) -> tuple[int, str, str]:
    return one.item.part, one.item.path, one.item.role


def _facts(one: Timed) -> tuple[object, ...]:
    """What two copies of one item have in common."""
    return one.start, one.end, [(file.path, file.size) for file in one.item.files]


_Session = tuple[datetime, datetime | None, list[Timed]]


def _split(
    accepted: Sequence[Row], groups: dict[str, dict[str, Timed]], stems: _Stems
) -> tuple[list[Row], list[_Session], list[Left]]:
    """Items that join an accepted session, new sessions, and items without a start or a session."""
    sessions = {stems.of_row(row): row for row in accepted if row.role not in ("snc", "vtc")}
    joining: list[Row] = []
    starting: list[_Session] = []
    left: list[Left] = []
    for group_stem, roles in groups.items():
        members = [roles[role] for role in sorted(roles)]
        session = sessions.get(group_stem)
        if session is not None:
            for one in members:
                unit = replace(session.unit, kind=unit_kind(one.item.role))
                joining.append(Row(unit, one.item.role, one.item.part, one.item.path, session.start, session.end))
            continue
        recording = next((roles[kind] for kind in RECORDING_KINDS if kind in roles), None)
        leading = recording or roles.get("vid")
        if leading is None:
            left += [Left(one.item, "no session") for one in members]
        elif leading.start is None:
            left += [Left(one.item, "no start") for one in members]
        else:
            starting.append((*_by_natus(leading, roles.get("vid")), members))
    return joining, starting, left


def _by_natus(leading: Timed, folder: Timed | None) -> tuple[datetime, datetime | None]:
    """Start and end of a session: of two hours of one name, Natus' clock (UTC) tells which a recording means."""
    start = leading.start
    assert start is not None
    natus = folder.start if folder else None
    if leading.other is None or natus is None or abs(leading.other - natus) >= abs(start - natus):
        return start, leading.end
    return leading.other, leading.end + (leading.other - start) if leading.end else None


def _first_path(members: Sequence[Timed]) -> tuple[int, str]:
    return min((one.item.part, one.item.path) for one in members)


def _row(code: str, number: int, item: Item, start: datetime, end: datetime | None, late: bool) -> Row:
    return Row(Unit(code, number, unit_kind(item.role)), item.role, item.part, item.path, start, end, late)


def remarks(rows: Sequence[Row]) -> dict[int, list[str]]:
    """What a person should know of each session number: ties, overlaps, gaps, missing partners, late arrivals."""
    sessions: dict[int, list[Row]] = {}
    for row in rows:
        sessions.setdefault(row.unit.number, []).append(row)
    found: dict[int, list[str]] = {}
    last: int | None = None  # the session that began before this one
    end: datetime | None = None  # when the sessions so far had all ended, as far as is known,
    longest: int | None = None  # and which of them was the last to end
    for number in sorted(sessions, key=lambda number: (sessions[number][0].start, number)):
        members = sessions[number]
        roles = {row.role for row in members}
        start = members[0].start
        words = []
        if not roles & set(RECORDING_KINDS):
            words.append("no EDF")
        if "vid" not in roles:
            words.append("no video")
        made = sorted(row.role for row in members if synctext.is_table(row.item, row.role))
        if made:
            words.append(f"{' and '.join(made)} made from the session folder's own")
        if last is not None and start == sessions[last][0].start:
            words.append(f"same start as session {last}")
        elif end is not None and start < end:
            words.append(f"overlaps session {longest} by {span(end - start)}")
        elif end is not None and start - end > GAP:
            words.append(f"{span(start - end)} after session {longest} ended")
        if any(row.out_of_order for row in members):
            words.append("out of order")
        found[number] = words
        last = number
        ends = [row.end for row in members if row.end is not None]
        if ends and (end is None or max(ends) > end):
            end, longest = max(ends), number
    return found


def span(length: timedelta) -> str:
    """A length of time as remarks have it."""
    hours, rest = divmod(int(length.total_seconds()), 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
