"""Modernising the old estate: adopted copies are opened, and archived anew as any export is. The old ones stay.

The first run says what would be done; `--config confirm=yes` fetches and opens, and registers what came out as coded
folders of its subject. From there on everything is as usual: `ecogvault order CODE --accept`, then `snakemake`. An old
copy is said to be replaceable once each of its files is in a unit that every destination lists; nothing removes it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ecogvault import audit, evidence, registry
from ecogvault.config import Config
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.estate.journal import Adopted, all_adopted
from ecogvault.estate.later import is_here
from ecogvault.estate.restore import asked, copy_restored, opened_folder, restore_old
from ecogvault.evidence import Policy
from ecogvault.intake import coded_in
from ecogvault.intake.assignment import read_units
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.prune_trees import obstacle_of
from ecogvault.restore.choose import is_cold, place_of
from ecogvault.sizes import fitting

Say = Callable[[str], None]


class NotModernised(EcogvaultError):
    """An old copy could not be opened."""


@dataclass(frozen=True)
class State:
    """How far an old copy has come: `waits` (to be opened), `cold` (it has to be brought back first), `spare` (another
    one holds the same), `opened` (its files are not archived yet, as `why` says), or `replaceable`.
    """

    one: Adopted
    what: str
    why: str = ""


def modernise(config: Config, private: Private, *, say: Say) -> None:
    """Say how far each old copy has come, and open those that wait when `confirm` in the configuration is `yes`.

    `subject`, `kind` and `from` restrict it. Raises NotModernised at the end when one could not be opened.
    """
    states = survey(config)
    for state in states:
        if state.what != "waits":
            say(f"{state.one.code}: {state.one.old.name} at {state.one.destination} {_words(state)}")
    waiting = [state.one for state in states if state.what == "waits"]
    size = sum(one.size for one in waiting)
    if config["confirm"] != "yes":
        for one in waiting:
            place = f"{fitting(one.size)} to fetch, {place_of(config.destinations[one.destination])[1]}"
            way = "it was brought back already" if _came_back(config, one) else place
            say(f"{one.code}: {one.old.name} at {one.destination} waits: {way}")
        ready = sum(state.what == "replaceable" for state in states)
        more = ": snakemake modernise --config confirm=yes opens them" if waiting else ""
        say(f"modernise: {len(waiting)} old copies wait, {fitting(size)}{more}; {ready} are replaceable")
        return
    failed: list[str] = []
    opened: set[str] = set()
    for one in waiting:
        try:
            root = config.path("modernised")
            came = copy_restored(config, one, root) if _came_back(config, one) else restore_old(config, one, root=root)
        except (EcogvaultError, OSError) as error:
            failed.append(f"{one.old.name}: {error if isinstance(error, EcogvaultError) else error.strerror}")
            continue
        audit.record(private, "modernise", one.code, f"{one.old.name} from {one.destination}")
        say(f"{one.code}: {one.old.name} from {one.destination}: {came}")
        opened.add(one.code)
    for code in sorted(opened):
        try:
            _register(config, private, code)
        except EcogvaultError as error:
            failed.append(f"{code}: {error}")
        else:
            say(f"{code}: opened and registered; next: ecogvault order {code}, then --accept, then snakemake")
    for line in failed:
        say(f"modernise: failed: {line}")
    say(f"modernise: {len(waiting) - len(failed)} old copies opened, {len(failed)} failed")
    if failed:
        raise NotModernised(f"{len(failed)} old copies could not be modernised: see the lines above")


def survey(config: Config) -> list[State]:
    """How far each old copy has come, of those that the configuration asks for. Raises Damaged."""
    paths = Paths.of(config)
    found = []
    known: dict[str, dict[str, Unit]] = {}
    for one in _asked(config):
        if one.code not in known:
            known[one.code] = _archived(paths, one.code)
        if _came_back(config, one):
            found.append(State(one, "waits"))
        elif one.files is not None:
            found.append(_opened(config, one, known[one.code]))
        elif is_cold(config.destinations[one.destination]):
            found.append(State(one, "cold", place_of(config.destinations[one.destination])[1]))
        else:
            found.append(State(one, "waits"))
    return spare(found, lambda one: place_of(config.destinations[one.destination])[0])


def spare(states: Iterable[State], cost: Callable[[Adopted], int]) -> list[State]:
    """Have only one copy of the same wait: an opened one is enough, else the cheapest waits. Pure."""
    listed = list(states)
    best: dict[tuple[object, ...], Adopted] = {}
    for state in listed:
        same = _what(state.one)
        rank = (state.what in ("waits", "cold"), cost(state.one), state.one.destination, state.one.where)
        before = best.get(same)
        if before is None or rank < (
            next(other.what for other in listed if other.one is before) in ("waits", "cold"),
            cost(before),
            before.destination,
            before.where,
        ):
            best[same] = state.one
    return [
        State(state.one, "spare", f"the same is at {best[_what(state.one)].destination}")
        if state.what in ("waits", "cold") and best[_what(state.one)] is not state.one
        else state
        for state in listed
    ]


def _what(one: Adopted) -> tuple[object, ...]:
    """What an old copy holds, as far as its name tells; a single file is told by its own name."""
    name = "" if one.old.archive else one.old.name.casefold().removesuffix(".enc")
    return one.code, one.old.kind, one.old.session, one.old.part, name


def _came_back(config: Config, one: Adopted) -> bool:
    """Whether an old copy was brought back from where it takes hours, and is not among what is modernised yet."""
    if not is_cold(config.destinations[one.destination]) or one.files is None:
        return False
    there = sum(path.is_file() for path in opened_folder(one, config.path("modernised")).rglob("*"))
    return is_here(config, one) and there < len(one.files)


def _asked(config: Config) -> list[Adopted]:
    names = [name for name in config.destinations if config["from"] in (None, name)]
    if config["subject"] or config["unit"]:
        return [one for name in names for one in asked(config, name)]
    paths = Paths.of(config)
    return [one for name in names for one in all_adopted(paths, name) if config["kind"] in (None, one.old.kind)]


def _opened(config: Config, one: Adopted, known: Mapping[str, Unit]) -> State:
    """Whether an opened copy is replaceable, or what it lacks."""
    assert one.files is not None
    names = [str(each["path"] or "") for each in one.files]
    odd = sum(not name for name in names)
    if odd:
        return State(one, "opened", f"{odd} of its files do not bear coded names: look at them in the folder")
    units = [_unit(known, name, str(each["sha256"])) for name, each in zip(names, one.files, strict=True)]
    missing = units.count(None)
    if missing:
        return State(one, "opened", f"{missing} of its files are not archived yet: ecogvault order {one.code}")
    for unit in sorted(set(filter(None, units))):
        why = _lacks(config, unit)
        if why:
            return State(one, "opened", f"{unit}{why}")
    return State(one, "replaceable")


def _lacks(config: Config, unit: Unit) -> str:
    paths = Paths.of(config)
    state = read_units(paths, unit.code).get(unit)
    try:
        copies = {
            name: evidence.newest_content(paths, name, unit, state)
            for name, destination in config.destinations.items()
            if destination.takes(unit.kind)
        }
    except Damaged as error:
        return f": {error}"
    obstacle = obstacle_of(unit, copies, Policy.of(config))
    return (
        ""
        if obstacle is None
        else f"{f' at {obstacle.destination}' if obstacle.destination else ''}: {obstacle.reason}"
    )


def _archived(paths: Paths, code: str) -> dict[str, Unit]:
    """The unit of each archived file of a subject, by its SHA-256 and by its own name, case folded."""
    found = {}
    for path in sorted(paths.subject(code).glob("manifest/*.tsv")):
        for entry in Manifest.read(path):
            found[entry.path.rpartition("/")[2].casefold()] = found[entry.sha256] = Unit.parse(path.stem)
    return found


def _unit(known: Mapping[str, Unit], name: str, sha256: str) -> Unit | None:
    """The unit that holds a file: by its content, or by its name where scrubbing made other content of it."""
    return known.get(sha256) or known.get(name.rpartition("/")[2].casefold())


def _register(config: Config, private: Private, code: str) -> None:
    folder = config.path("modernised") / f"{code}_old"
    if code not in coded_in(folder):
        raise NotModernised(f"nothing that came out bears the code and a session number: look into {folder}")
    registry.register_coded(private, [code], folder, apart_from=registry.written_folders(config))


def _words(state: State) -> str:
    return {
        "spare": f"is not needed: {state.why}",
        "opened": f"is opened: {state.why}",
        "cold": f"is {state.why}: snakemake restore --config subject={state.one.code} from={state.one.destination} "
        "brings it here, over several runs; then it can be modernised",
        "replaceable": "is replaceable: all that is in it is archived anew and listed everywhere",
    }[state.what]


__all__ = ["NotModernised", "State", "modernise", "spare", "survey"]
