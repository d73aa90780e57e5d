"""Why nothing is there that was asked for: which word of the command matched nothing, and what there is instead."""

from collections.abc import Iterable
from difflib import get_close_matches

from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.ledger import Copy, NothingThere
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.restore.choose import ANY
from ecogvault.verify import chosen_units, known_units

_SOME = 6  # of what there is, so many are named


def at(config: Config, name: str) -> list[Unit]:
    """The units that `unit`, `subject` and `kind` of the configuration choose at a destination, or at any."""
    return sorted({unit for place in _places(config, name) for unit in chosen_units(config, place)})


def why(config: Config, name: str, unit: Unit | None) -> str:
    """What is said where `at` found nothing; `unit` is the one that `unit=` or `file=` names, if one of them does."""
    known = {one for place in _places(config, name) for one in known_units(config, place)}
    said = f"no ledger{'' if name == ANY else f' of {name}'} knows a unit that was asked for"
    if unit is not None:
        config = Config({**config.values, "unit": str(unit)})
    others = [place for place in config.destinations if chosen_units(config, place)] if name != ANY else []
    if others:
        return f"{said}, but there are copies at {', '.join(others)}: from={others[0]}"
    place = "DEST" if name == ANY else name
    if not known:
        return f"{said}: nothing is known there; `ecogvault rebuild --from {place}` enters what it holds"
    code = unit.code if unit else config["subject"]
    theirs = sorted(one for one in known if code in (None, one.code))
    if not theirs:
        return (
            f"{said}: there is nothing of subject {code}; `ecogvault subjects` shows which codes there are, and "
            f"`ecogvault rebuild --from {place}` enters copies that lie there and no ledger here knows"
        )
    if unit is None:
        kinds = ", ".join(sorted({one.kind for one in theirs}))
        return f"{said}: there is no kind={config['kind']}{f' of {code}' if code else ''}, only {kinds}"
    return f"{said}: there is no {unit}; of {code} there are {_some(map(str, theirs))}"


def require_file(config: Config, unit: Unit, copy: Copy, path: str | None) -> None:
    """Raise NothingThere when the manifest of that copy is here, and has no file `path`."""
    try:
        manifest = Manifest.read(Paths.of(config).manifest(unit))
    except (FileNotFoundError, Damaged):
        return  # the copy's own says so when it comes
    paths = [entry.path for entry in manifest]
    if path is not None and manifest.sha256 == copy.manifest_sha256 and path not in paths:
        raise NothingThere(no_such_file(config, unit, path, paths))


def no_such_file(config: Config, unit: Unit, path: str, known: Iterable[str] = ()) -> str:
    """What is said of a file that a unit does not have; `known` are those that it has, as far as they are known."""
    near = get_close_matches(path, list(known), n=3)
    like = f"; it has {', '.join(near)}" if near else ""
    manifest = Paths.of(config).manifest(unit)
    how = (
        f"`cut -f 1 {manifest}` lists its files"
        if manifest.exists()
        else f"the list of its files is not here: restore all of it with unit={unit} in place of file="
    )
    return f"nothing in {unit} is called {path}{like}: {how}"


def _places(config: Config, name: str) -> list[str]:
    return list(config.destinations) if name == ANY else [name]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SOME} more" if len(listed) > _SOME else ""
    return ", ".join(listed[:_SOME]) + more
