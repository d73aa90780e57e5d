"""What a vault's inventory says about the ledgers. Pure.

An archive that an inventory lists with the ledger's size and tree hash is `listed`. One that it does not list is
*missing* only when it was there a day before the inventory was made: until then it is *not yet listed*. An archive
of ours that no ledger knows is an *orphan*.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecogvault.vault.catalogue import Archive, Catalogue
from ecogvault.vault.waiting import parsed, plus

GRACE_HOURS = 24.0
"""An inventory may be made from what the vault held some hours before its date."""


@dataclass
class Found:
    """What an inventory says of one copy: keys that are missing, wrong, or not yet listed."""

    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)

    @property
    def listed(self) -> bool:
        """Whether every object of the copy is listed as it should be."""
        return not (self.missing or self.wrong or self.early)


def compare(objects: Iterable[Mapping[str, Any]], found: Catalogue | None) -> Found:
    """Compare a copy's objects with an inventory; without one, everything is not yet listed."""
    result = Found()
    for one in objects:
        key = str(one["key"])
        if found is None:
            result.early.append(key)
            continue
        listed = found.by_id.get(str(one["archive_id"]))
        if listed is None:
            at = one.get("archived_at")
            early = at is not None and parsed(plus(str(at), GRACE_HOURS)) > parsed(found.date)
            (result.early if early else result.missing).append(key)
        elif listed.size != one["size"] or listed.sha256_tree != one["sha256_tree"]:
            result.wrong.append(key)
    return result


def orphans(found: Catalogue, known_ids: Iterable[str]) -> list[Archive]:
    """Archives of ours, by their descriptions, that no ledger knows, by key.

    A copy of the registry under a statement is in no ledger, and found by its description alone: it is no orphan.
    """
    known = set(known_ids)
    some = [
        one
        for one in found.archives
        if one.described is not None
        and one.archive_id not in known
        and not (one.described.key.startswith("registry/") and one.statement is not None)
    ]
    return sorted(some, key=lambda one: (str(one.key), one.created, one.archive_id))
