"""A vault's newest inventory that came: which archives it lists, and which of them are ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ecogvault import oldnames
from ecogvault.errors import Damaged
from ecogvault.records import read_record, write_record, write_table
from ecogvault.stores.vault_description import Described, parse
from ecogvault.vault.statements import statement_in

SCHEMA = "ecogvault-inventory 1"
COLUMNS = ("key", "generation", "size", "created", "archive_id", "sha256_tree")


@dataclass(frozen=True)
class Archive:
    """One archive as an inventory lists it. `size` in bytes; `described` is None for one that is not ours.

    `old_name` is the description of one that the lab made before this program, if it is a coded name; any other
    foreign description may hold a name, and is not kept.
    """

    archive_id: str
    size: int
    sha256_tree: str
    created: str
    described: Described | None
    old_name: str = ""

    @property
    def key(self) -> str | None:
        """The key that its description names."""
        return self.described.key if self.described else None

    @property
    def statement(self) -> dict[str, Any] | None:
        """The seal statement in its description, not yet verified."""
        return statement_in(self.described.metadata) if self.described else None


@dataclass(frozen=True)
class Catalogue:
    """What an inventory of `date` (UTC, by the service's clock) lists."""

    vault: str
    date: str
    archives: tuple[Archive, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Archive]:
        """Archives by their id."""
        return {one.archive_id: one for one in self.archives}


def from_output(data: bytes, *, vault: str) -> Catalogue:
    """The catalogue in the JSON output of an inventory job. Raises Damaged.

    Fields: Amazon Glacier Developer Guide, "Get Job Output (GET output)", response body.
    """
    try:
        told = json.loads(data)
        archives = tuple(
            Archive(
                str(one["ArchiveId"]),
                int(one["Size"]),
                str(one["SHA256TreeHash"]),
                str(one["CreationDate"]),
                parse(str(one["ArchiveDescription"] or "")),
                _old_name(str(one["ArchiveDescription"] or "")),
            )
            for one in told["ArchiveList"]
        )
        return Catalogue(vault, str(told["InventoryDate"]), archives)
    except (ValueError, KeyError, TypeError):
        raise Damaged(
            f"the inventory of vault {vault} is not readable: ask for it again with `snakemake verify`"
        ) from None


def write(path: Path, catalogue: Catalogue, *, mode: int) -> None:
    """Keep a catalogue, and beside it the table for people. What is not ours is there without its description."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [_row(one) for one in catalogue.archives]
    named = [row for row in rows if row["key"]]
    others = [row | {"key": "(not ours)"} for row in rows if not row["key"]]
    table = [*sorted(named, key=lambda row: (row["key"], row["created"])), *others]
    write_table(path.with_suffix(".tsv"), "inventory", COLUMNS, table, mode=mode)
    record = {
        "schema": SCHEMA,
        "vault": catalogue.vault,
        "inventory_date": catalogue.date,
        "archives": [_record(one) for one in catalogue.archives],
    }
    write_record(path, record, mode=mode)


def read(path: Path) -> Catalogue | None:
    """The catalogue that was kept, if one was. Raises Damaged."""
    try:
        record = read_record(path)
    except FileNotFoundError:
        return None
    if record.get("schema") != SCHEMA:
        raise Damaged(f"{path} is not an inventory of this version: remove it, and `snakemake verify` asks for another")
    return Catalogue(record["vault"], record["inventory_date"], tuple(_archive(one) for one in record["archives"]))


def _old_name(description: str) -> str:
    return description if oldnames.classify(description) else ""


def _row(one: Archive) -> dict[str, str]:
    statement = one.statement
    return {
        "key": one.key or "",
        "generation": str(statement["generation"]) if statement else "",
        "size": str(one.size),
        "created": one.created,
        "archive_id": one.archive_id,
        "sha256_tree": one.sha256_tree,
    }


def _record(one: Archive) -> dict[str, Any]:
    said = one.described
    return {
        "archive_id": one.archive_id,
        "size": one.size,
        "sha256_tree": one.sha256_tree,
        "created": one.created,
        "old_name": one.old_name,
        "described": {"key": said.key, "size": said.size, "metadata": dict(said.metadata)} if said else None,
    }


def _archive(record: Mapping[str, Any]) -> Archive:
    said = record["described"]
    described = Described(said["key"], said["size"], said["metadata"]) if said else None
    old_name = record.get("old_name", "")
    return Archive(record["archive_id"], record["size"], record["sha256_tree"], record["created"], described, old_name)
