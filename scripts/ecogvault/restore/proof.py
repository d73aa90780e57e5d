"""What a restore demands before it believes what came back, and what it leaves as proof."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecogvault import layout, ledger
from ecogvault.config import Config, Destination
from ecogvault.manifest import Entry, Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.records import parse_record, utc_now, write_record
from ecogvault.restore.again import contents
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.statement import StatementError, believed, verify_statement
from ecogvault.stores import Store

SCHEMA = "ecogvault-restored 1"


def demand_statement(
    config: Config, store: Store, destination: Destination, unit: Unit, copy: ledger.Copy
) -> dict[str, Any]:
    """The signed statement that lies beside a copy, verified. Raises StatementError, Damaged, StoreError."""
    key = layout.statement_key(unit, copy.generation)
    where = f"{key} at {destination.name}"
    version_id = next((one["version_id"] for one in copy.objects if one["key"] == key), None)
    record = parse_record(b"".join(store.get(key, version_id=version_id)), what=where)
    try:
        return verify_statement(
            record,
            believed(config),
            unit=str(unit),
            generation=copy.generation,
            form=copy.form,
            manifest_sha256=copy.manifest_sha256,
        )
    except StatementError as error:
        raise StatementError(f"{where}: {error}") from None


def demand_manifest(manifest: Manifest, statement: dict[str, Any], unit: Unit, name: str) -> None:
    """Raise NotWhatWasArchived unless the manifest that was in a tarball is the one of its statement."""
    if manifest.sha256 != statement["manifest_sha256"]:
        raise NotWhatWasArchived(f"the tarball of {unit} from {name} holds another manifest than its statement says")


def write_proof(
    record: Path,
    unit: Unit,
    name: str,
    copy: ledger.Copy,
    *,
    folder: Path,
    entries: Iterable[Entry],
    path: str | None = None,
    older: Sequence[str] = (),
) -> None:
    """Write what a restore found and proved of `entries`; `path` is the one file that was asked for. Raises OSError.

    `older` says which objects came as older versions, for the current ones are missing or others.
    """
    came = contents(folder, entries)
    write_record(
        record,
        {
            "schema": SCHEMA,
            "unit": str(unit),
            "destination": name,
            "generation": copy.generation,
            "manifest_sha256": copy.manifest_sha256,
            "files": len(came),
            "path": path,
            "excluded": list(copy.excluded),
            "older_versions": list(older),
            "folder": str(folder),
            "at": utc_now(),
            "contents": came,
        },
        mode=0o600,
    )


def note_restored(config: Config, unit: Unit, name: str, copy: ledger.Copy) -> None:
    """Have the ledger say that the whole copy came back and was right."""
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, name, unit):
        line = ledger.event("restored", copy.generation, copy.manifest_sha256)
        ledger.append(paths.ledger(name, unit), line, mode=config.file_mode, group=None)
