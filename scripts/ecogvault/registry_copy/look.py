"""Looking at the registry's copies: whether each is still at its destination as its record says.

What is missing or wrong is said, and its record is removed, so that the next run makes the copy again. A destination
that does not answer says nothing about its copy. With `rehash_gib` or `verify_hours` the copy is read back, whatever
the budget is: it is small. A vault is asked by its newest inventory that is here, and is never read back.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged
from ecogvault.files import lock
from ecogvault.paths import Paths
from ecogvault.records import parse_record, read_record
from ecogvault.registry_copy.digest import DIGITS, destinations, record_path, state_path
from ecogvault.registry_copy.fetch import PREFIX, has_tree, registry_store, statement_key, time_of
from ecogvault.registry_copy.shelf import Shelf
from ecogvault.stores import Absent, Store, StoreError, Unknown
from ecogvault.stores.errors import Archived, NotFound
from ecogvault.verify import CopiesAreWrong, Say, verify


def verify_all(config: Config, *, say: Say, again: str) -> None:
    """Verify the units' copies and then the registry's, and fail at the end for both. Raises CopiesAreWrong."""
    told = []
    try:
        verify(config, say=say, again=again)
    except CopiesAreWrong as error:
        told.append(str(error))
    if bad := look(config, say=say):
        told.append(f"not all is well with the registry's copy at {', '.join(bad)}: see the lines above")
    if told:
        raise CopiesAreWrong("; ".join(told))


def look(config: Config, *, say: Say) -> list[str]:
    """Look at the registry's copy at each destination that has one by our records, and say a line of each.

    `from` restricts it; where `unit`, `subject` or `kind` is given, the registry is not what was asked about. Returns
    the names of destinations where a person has to look. Raises OSError as it comes.
    """
    if config["unit"] or config["subject"] or config["kind"]:
        return []
    bad = []
    for one in destinations(config):
        if config["from"] in (None, one.name) and _records(config, one.name):
            place = state_path(Paths.of(config), one.name).with_suffix(".lock")
            with lock(place, what=f"the registry's copy to {one.name}"):
                for record in _records(config, one.name):
                    well, line = _look_at(config, one, record)
                    say(f"{one.name}: {line}")
                    bad += [] if well or one.name in bad else [one.name]
    return bad


def _records(config: Config, name: str) -> list[Path]:
    """The records of the copy at a destination: one, and for a moment two while another copy is made."""
    pattern = record_path(Paths.of(config), name, "?" * DIGITS)
    return sorted(pattern.parent.glob(pattern.name))


def _look_at(config: Config, destination: Destination, path: Path) -> tuple[bool, str]:
    """Whether all is well with the copy that a record names, and what to say of it. Removes the record if not."""
    try:
        record = read_record(path)
        at = time_of(str(record["key"]))
    except Damaged as error:
        path.unlink(missing_ok=True)
        return False, f"the record of the registry's copy was damaged and is removed: {error}"
    what = f"the registry's copy of {at}"
    try:
        store = registry_store(config, destination)
        if isinstance(store, Shelf):
            faults, found = _in_vault(store, record)
        else:
            faults = _not_listed(store, record)
            found = "listed"
            if not faults and (config["rehash_gib"] is not None or config["verify_hours"] is not None):
                faults, found = _read_back(store, record)
    except (StoreError, Damaged) as error:
        return False, f"could not be asked for {what}: {error}"
    if faults:
        path.unlink(missing_ok=True)
        return False, f"{what}: {'; '.join(faults)}: the next `snakemake` sends it again"
    return True, f"{what} is {found}"


def _not_listed(store: Store, record: Mapping[str, Any]) -> list[str]:
    """What the listing lacks of a copy, or has otherwise, as far as the store confirms it. Raises StoreError."""
    listed = {one.key: one.size for one in store.list(PREFIX)}
    key = str(record["key"])
    faults = []
    for name, size in ((key, int(record["size"])), (statement_key(time_of(key)), None)):
        if name not in listed or size not in (None, listed[name]):
            presence = store.head(name)
            if isinstance(presence, Unknown):
                raise StoreError(f"{store.where} does not say whether it has {name}: {presence.reason}")
            if isinstance(presence, Absent):
                faults.append(f"{name} is missing")
            elif size not in (None, presence.size):
                faults.append(f"{name} is wrong")
    return faults


def _read_back(store: Store, record: Mapping[str, Any]) -> tuple[list[str], str]:
    """What is wrong with a copy's bytes, and what to say if nothing is. Raises StoreError."""
    key, tree = str(record["key"]), str(record["sha256_tree"])
    beside = statement_key(time_of(key))
    faults = []
    try:
        if not has_tree(store, key, tree):
            faults.append(f"{key} is wrong")
        if parse_record(b"".join(store.get(beside)), what=beside).get("sha256_tree") != tree:
            faults.append(f"{beside} is wrong")
    except Archived:
        return [], "listed, in an archive tier, not read"
    except Damaged:
        faults.append(f"{beside} is wrong")
    except NotFound:
        faults.append(f"{beside} is missing")
    return faults, "listed, read back and right"


def _in_vault(shelf: Shelf, record: Mapping[str, Any]) -> tuple[list[str], str]:
    """What the newest inventory says against a copy, and what to say if nothing is. Raises Damaged."""
    key = str(record["key"])
    judged = shelf.compared(record)
    faults = [f"{key} is {kind}" for kind, keys in (("missing", judged.missing), ("wrong", judged.wrong)) if keys]
    if faults:
        shelf.lose(key)
    return faults, "not yet listed" if judged.early else f"listed in the inventory of {shelf.inventory_date}"
