"""Pruning the coded files of units, and saying when a hospital's export may go back. The export is never touched.

The first run says what may go; only `--config confirm=yes` removes it, after every destination was asked anew. A unit's
files go when each destination that takes the unit lists its newest content, and the lab's own policy `copies:` is met.
The manifest stays, and with it everything that a dry run looks at. A job that needs the files makes them again.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from ecogvault import evidence, ledger
from ecogvault.config import Config
from ecogvault.deidentify import tree_lock
from ecogvault.errors import Damaged
from ecogvault.evidence import Policy, shortfall
from ecogvault.files import Locked, sync_folder
from ecogvault.intake.assignment import read_units
from ecogvault.ledger import Copy
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.prune import Obstacle, moved, report
from ecogvault.sizes import fitting
from ecogvault.verify import look

Say = Callable[[str], None]


def ask(config: Config, *, say: Say, again: str = "snakemake prune") -> dict[str, set[Unit]] | None:
    """With `confirm` in the configuration `yes`: what each destination says now that it has. None: nothing is removed.

    To be asked before anything goes, so that what is missing is known to be.
    """
    if config["confirm"] != "yes":
        return None
    return {name: tally.listed_now for name, tally in look(config, say=say, again=again).items()}


def prune_trees(
    config: Config, unnumbered: Mapping[str, str], listed: Mapping[str, Collection[Unit]] | None, *, say: Say
) -> None:
    """Say which units' coded files may go, and remove them if `listed` is what was asked just now.

    `unnumbered` says, for each open subject, what of its export has no number yet or why it is stopped (empty: nothing
    does). Raises Damaged for a manifest, and OSError as it comes.
    """
    acts = listed is not None
    free, pruned = 0, 0
    kept: list[tuple[Unit, Obstacle]] = []
    for unit in units_with_trees(Paths.of(config)):
        obstacle, size = _look_at(config, unit, listed)
        if obstacle is None:
            pruned += 1
            free += size
        else:
            kept.append((unit, obstacle))
    for line in report(config.destinations, kept):
        say(f"coded files: {line}")
    if acts:
        say(f"prune: coded files of {pruned} units removed, {fitting(free)} freed; {len(kept)} kept")
    elif pruned:
        say(
            f"prune: coded files of {pruned} units may go, {fitting(free)}: snakemake prune --config confirm=yes "
            f"(asks every destination first); {len(kept)} stay"
        )
    for code, reason in unnumbered.items():
        say(f"export of {code}: {_may_go(config, code, reason, listed)}")


def units_with_trees(paths: Paths) -> list[Unit]:
    """Every unit of which a coded file is here."""
    found = []
    for path in sorted(paths.results.glob("*/manifest/*.tsv")):
        unit = Unit.parse(path.stem)
        if any((paths.subject(unit.code) / entry.path).exists() for entry in Manifest.read(path)):
            found.append(unit)
    return found


def obstacle_of(
    unit: Unit,
    copies: Mapping[str, Copy | None],
    policy: Policy | None,
    listed: Mapping[str, Collection[Unit]] | None = None,
) -> Obstacle | None:
    """What speaks against removing a unit's coded files: the first place without proof, or the lab's policy. Pure.

    `copies` are those of the newest content at each destination that takes the unit; `listed` are the units that each
    destination has listed just now (None: it need not be now).
    """
    if not copies:
        return Obstacle("", "no destination takes it")
    for name, copy in copies.items():
        if copy is None or copy.evidence is None:
            said = f"it was found {copy.fault}" if copy is not None and copy.fault else "it is not there"
            return Obstacle(name, said)
        if not copy.proven.keys() - {"acknowledged"}:
            return Obstacle(name, "it was not verified there yet: run `snakemake verify`")
        if listed is not None and unit not in listed.get(name, ()):
            return Obstacle(name, "it could not be verified there now")
    nowhere = set.intersection(*(set(copy.excluded) for copy in copies.values() if copy is not None))
    if nowhere:
        said = f"{len(nowhere)} of its files are left out at every destination (exclude:), first {min(nowhere)}"
        return Obstacle("", f"{said}: have one of them take these files")
    short = policy and shortfall(unit, copies, policy, datetime.now(UTC))
    return Obstacle("", str(short)) if short else None


def _look_at(config: Config, unit: Unit, listed: Mapping[str, Collection[Unit]] | None) -> tuple[Obstacle | None, int]:
    """Whether a unit's files may go, and the bytes that it frees; with `listed` they are removed."""
    paths = Paths.of(config)
    takers = [one.name for one in config.destinations.values() if one.takes(unit.kind)]
    name = ""
    with ExitStack() as locks:
        try:
            # An upload that is under way reads the files, and holds this lock.
            for name in takers:
                locks.enter_context(ledger.ledger_lock(paths, name, unit, wait=False))
        except Locked:
            return Obstacle(name, "an upload is under way"), 0
        locks.enter_context(tree_lock(config, unit))
        state = read_units(paths, unit.code).get(unit)
        manifest = Manifest.read(paths.manifest(unit))
        if state is None or manifest.sha256 != state.manifest_sha256:
            return Obstacle("", "its manifest is not its newest content: run `snakemake`"), 0
        try:
            copies = {taker: evidence.newest_content(paths, taker, unit, state) for taker in takers}
        except Damaged as error:
            return Obstacle("", str(error)), 0
        obstacle = obstacle_of(unit, copies, Policy.of(config), listed) or moved(config, unit, copies)
        if obstacle is not None:
            return obstacle, 0
        return None, _remove(paths.subject(unit.code), manifest, really=listed is not None)


def _remove(root: Path, manifest: Manifest, *, really: bool) -> int:
    """Remove the files of a manifest, and folders that are empty then; the bytes that nobody else holds."""
    freed = 0
    folders = set()
    for entry in manifest:
        path = root / entry.path
        if not path.is_file():
            continue
        status = path.stat()
        freed += status.st_size if status.st_nlink == 1 else 0
        if really:
            path.unlink()
            folders.add(path.parent)
    for folder in sorted(folders, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
        sync_folder(folder)
    return freed


def _may_go(config: Config, code: str, reason: str, listed: Mapping[str, Collection[Unit]] | None) -> str:
    """Whether the hospital's drive may be given back, in words."""
    if reason:
        return f"keep it: {reason}"
    paths = Paths.of(config)
    states = read_units(paths, code)
    if not states:
        return "keep it: nothing of it is archived yet"
    for unit, state in sorted(states.items()):
        copies = {
            name: evidence.newest_content(paths, name, unit, state)
            for name, one in config.destinations.items()
            if one.takes(unit.kind)
        }
        obstacle = obstacle_of(unit, copies, Policy.of(config), listed) or moved(config, unit, copies)
        if obstacle is not None:
            return f"keep it: {unit}{f' at {obstacle.destination}' if obstacle.destination else ''}: {obstacle.reason}"
    when = "" if listed is not None else ", when last asked (--config confirm=yes asks again)"
    return f"it may go: all its {len(states)} units are listed at every destination{when}; it is yours to remove"
