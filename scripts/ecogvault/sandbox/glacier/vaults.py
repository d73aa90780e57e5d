"""Vaults, their inventories, and archives that come in one request."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.sandbox.glacier import policies, rules
from ecogvault.sandbox.glacier.errors import Refused, bad, not_found
from ecogvault.sandbox.glacier.state import Record, State, iso, new_id, page, read, records, write

INVENTORY_SECONDS = 86400.0
MOST_VAULTS = 10
"""Vaults a page holds at most ("List Vaults (GET vaults)")."""
MOST_TAGS = 50


def create(state: State, name: str) -> None:
    """Make a vault; one that is there stays as it is ("Create Vault (PUT vault)")."""
    path = state.root / "vaults" / rules.vault_name(name) / "vault.json"
    if not path.exists():
        write(path, {"name": name, "created": state.now(), "tags": {}})


def delete(state: State, vault: str) -> None:
    """Remove a vault that its last inventory shows empty and that was not written to since ("Delete Vault")."""
    folder = state.folder(vault)
    archives = records(folder / "archives")
    date = inventory_date(archives, state.now())
    fresh = [one for one in archives if one["created"] > (date or 0.0)]
    if archives and (date is None or listed(archives, date) or fresh):
        raise bad(f"Vault not empty or recently written to: {state.arn(vault)}")
    (folder / "vault.json").unlink()


def described(state: State, vault: str) -> Record:
    """What "Describe Vault" answers: numbers as of the last inventory."""
    record = read(state.folder(vault) / "vault.json") or {}
    archives = records(state.folder(vault) / "archives")
    date = inventory_date(archives, state.now())
    there = listed(archives, date) if date else []
    return {
        "CreationDate": iso(record["created"]),
        "LastInventoryDate": iso(date) if date else None,
        "NumberOfArchives": len(there),
        "SizeInBytes": sum(one["size"] for one in there),
        "VaultARN": state.arn(vault),
        "VaultName": vault,
    }


def list_all(state: State, query: Mapping[str, str]) -> Record:
    """What "List Vaults" answers."""
    names = sorted(path.parent.name for path in (state.root / "vaults").glob("*/vault.json"))
    found, marker = page(
        [described(state, name) for name in names], query, lambda one: str(one["VaultARN"]), most=MOST_VAULTS
    )
    return {"VaultList": found, "Marker": marker}


# --- inventories ------------------------------------------------------------------------------------------------------


def inventory_date(archives: list[Record], now: float) -> float | None:
    """When the newest inventory was made; None before the first. Pure.

    One is made every 24 hours, counted from the first archive, unless nothing was added or deleted since the one
    before ("Downloading a Vault Inventory in Amazon Glacier").
    """
    created = [one["created"] for one in archives]
    changes = created + [one["deleted"] for one in archives if one.get("deleted")]
    first = min(created, default=now)
    dates = [first + (int((change - first) // INVENTORY_SECONDS) + 1) * INVENTORY_SECONDS for change in changes]
    return max((date for date in dates if date <= now), default=None)


def listed(archives: list[Record], date: float) -> list[Record]:
    """The archives that an inventory of `date` lists, the oldest first. Pure."""
    there = [one for one in archives if one["created"] <= date and not (one.get("deleted") or date + 1) <= date]
    return sorted(there, key=lambda one: (one["created"], one["id"]))


# --- archives ---------------------------------------------------------------------------------------------------------


def keep_archive(state: State, vault: str, *, description: str, tree: str, segments: list[tuple[Path, int]]) -> str:
    """Store the files of `segments` (with their sizes), in order, as an archive; returns its id."""
    archive_id = new_id(138)
    folder = state.path_of(vault, "archives", archive_id)
    folder.mkdir(parents=True)
    names = []
    for number, (path, size) in enumerate(segments):
        path.rename(folder / f"{number:05}")
        names.append((f"{number:05}", size))
    record = {
        "id": archive_id,
        "description": description,
        "tree": tree,
        "size": sum(size for _, size in names),
        "created": state.now(),
        "segments": names,
    }
    write(folder.with_name(f"{archive_id}.json"), record)
    return archive_id


def upload(state: State, vault: str, headers: Mapping[str, str], body: Path, length: int, tree: str) -> str:
    """ "Upload Archive (POST archive)"; `tree` is the tree hash of what was received. Returns the archive's id."""
    policies.require(state, vault, "UploadArchive")
    description = rules.description(headers.get("x-amz-archive-description"))
    told = rules.digest("x-amz-sha256-tree-hash", headers.get("x-amz-sha256-tree-hash"))
    rules.digest("x-amz-content-sha256", headers.get("x-amz-content-sha256"))
    if not 1 <= length <= rules.MAX_ARCHIVE:
        raise bad(f"Invalid Content-Length: {length}: an archive has 1 byte or more, and 4 GB or less")
    if told != tree:
        raise bad(f"Checksum mismatch: expected {told} but calculated {tree}")
    return keep_archive(state, vault, description=description, tree=tree, segments=[(body, length)])


def archive_of(state: State, vault: str, archive_id: str) -> Record:
    """An archive's record. Raises Refused: an archive of another vault is said to be an invalid vault name."""
    found = read(state.path_of(vault, "archives", f"{archive_id}.json"))
    if found is not None and not found.get("deleted"):
        return found
    if found is None and any((state.root / "vaults").glob(f"*/archives/{archive_id}.json")):
        raise bad(f"Invalid vault name: {vault}")
    raise not_found(f"The archive ID was not found: {archive_id[:138]}: archive")


def delete_archive(state: State, vault: str, archive_id: str) -> None:
    """Remove an archive ("Delete Archive (DELETE archive)"); inventories go on listing it until the next one.

    Its bytes stay on disk, for jobs that have fetched it already.
    """
    found = archive_of(state, vault, archive_id)
    now = state.now()
    policies.require(state, vault, "DeleteArchive", age_days=(now - found["created"]) / policies.DAY)
    write(state.path_of(vault, "archives", f"{archive_id}.json"), found | {"deleted": now})


# --- tags and notifications -------------------------------------------------------------------------------------------


def change_tags(state: State, vault: str, operation: str | None, document: Record) -> None:
    """Add or remove tags ("Add Tags To Vault", "Remove Tags From Vault")."""
    path = state.folder(vault) / "vault.json"
    record = read(path) or {}
    tags: dict[str, Any] = dict(record["tags"])
    if operation == "add":
        tags |= document.get("Tags", {})
    elif operation == "remove":
        for name in document.get("TagKeys", []):
            tags.pop(name, None)
    else:
        raise bad("Invalid operation: it is add or remove")
    if len(tags) > MOST_TAGS:
        raise Refused("LimitExceededException", f"A vault has at most {MOST_TAGS} tags")
    write(path, record | {"tags": tags})


def tags_of(state: State, vault: str) -> Record:
    """ "List Tags For Vault"."""
    return {"Tags": (read(state.folder(vault) / "vault.json") or {})["tags"]}


def notifications_of(state: State, vault: str) -> Record:
    """ "Get Vault Notifications"."""
    found = read(state.folder(vault) / "notifications.json")
    if found is None:
        raise not_found("No notification configuration is set for vault: configuration")
    return found


def set_notifications(state: State, vault: str, document: Record) -> None:
    """ "Set Vault Notification Configuration"; nothing is ever sent to the topic."""
    events = document.get("Events")
    known = {"ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"}
    if not document.get("SNSTopic") or not isinstance(events, list) or not set(events) <= known:
        raise bad("Invalid notification configuration")
    write(state.folder(vault) / "notifications.json", document)
