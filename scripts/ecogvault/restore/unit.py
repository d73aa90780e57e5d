"""One unit, or one of its files, back from a destination."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ecogvault import ledger
from ecogvault.config import Config, Destination
from ecogvault.files import lock, sweep_tree, without_empty_folders
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.restore import again
from ecogvault.restore.fetch import Progress
from ecogvault.restore.files import restore_files
from ecogvault.restore.proof import demand_statement, note_restored, write_proof
from ecogvault.restore.tarball import restore_members, restore_tarball
from ecogvault.stores import Store, StoreError, open_store
from ecogvault.verify import superseded


def restore_unit(config: Config, unit: Unit, name: str, record: Path, progress: Progress | None = None) -> str:
    """Restore one unit from destination `name`, and write what was proven. Returns a remark for the log.

    What an earlier restore has left as it came is not fetched again. Raises NothingThere, NotWhatWasArchived,
    StatementError, StoreError, OtherContent, age's and tarball's errors, NoSpace, OSError.
    """
    copy = ledger.restorable(config, unit, name)
    destination = config.destinations[name]
    with _alone(record, unit, name) as folder:
        gone = again.missing(record, copy)
        if gone == []:
            return "everything is here as it came back before: nothing is fetched"
        store = _store_of(destination, unit.kind, copy)
        statement = demand_statement(config, store, destination, unit, copy)
        count = 0

        def prove(manifest: Manifest) -> None:
            nonlocal count
            entries = [entry for entry in manifest if entry.path not in copy.excluded]
            count = len(entries)
            older: list[str] = []
            with suppress(StoreError):  # who may read there may not be allowed to list
                older = superseded(destination, unit, copy)
            write_proof(record, unit, name, copy, folder=folder, entries=entries, older=older)
            if gone is None:  # else a part of it came, and says nothing of the rest
                note_restored(config, unit, name, copy)

        if copy.form == "files":
            prove(restore_files(config, store, unit, copy, statement, folder, progress))
        elif gone is None:
            restore_tarball(config, store, unit, copy, statement, folder, prove, progress)
        else:
            prove(restore_members(config, store, unit, copy, statement, folder, gone, progress))
    left_out = f"; {len(copy.excluded)} files are not kept there: {', '.join(copy.excluded)}" if copy.excluded else ""
    return f"{count} files restored and equal to their manifest{left_out}"


def restore_file(
    config: Config, unit: Unit, name: str, path: str, record: Path, progress: Progress | None = None
) -> str:
    """Restore one file by its path in the unit's manifest; only its own bytes are fetched, and what proves them.

    It proves nothing of the rest of the copy, so that the ledger's evidence stays as it is. Raises as restore_unit
    does.
    """
    copy = ledger.restorable(config, unit, name)
    destination = config.destinations[name]
    with _alone(record, unit, name) as folder:
        if again.missing(record, copy, path) == []:
            return f"{path} is here as it came back before: nothing is fetched"
        store = _store_of(destination, unit.kind, copy)
        statement = demand_statement(config, store, destination, unit, copy)
        if copy.form == "tarball":
            manifest = restore_members(config, store, unit, copy, statement, folder, [path], progress)
        else:
            manifest = restore_files(config, store, unit, copy, statement, folder, progress, only=[path])
        entries = [entry for entry in manifest if entry.path == path]
        write_proof(record, unit, name, copy, folder=folder, entries=entries, path=path)
    return f"{path} restored and equal to the manifest of {unit}"


def restore_some(config: Config, unit: Unit, name: str, paths: Collection[str], record: Path) -> None:
    """Fetch some files of a set whose others cannot be read yet. Nothing is proven by it but these files.

    Raises as restore_unit does.
    """
    copy = ledger.restorable(config, unit, name)
    destination = config.destinations[name]
    store = _store_of(destination, unit.kind, copy)
    statement = demand_statement(config, store, destination, unit, copy)
    with _alone(record, unit, name) as folder:
        restore_files(config, store, unit, copy, statement, folder, None, only=frozenset(paths))


def _store_of(destination: Destination, kind: str, copy: ledger.Copy) -> Store:
    """The store that has a copy: in the bucket of the ledger, whatever the configuration says by now."""
    if ledger.is_elsewhere(destination, kind, copy):
        settings = {**destination.settings, "bucket": copy.objects[0]["bucket"]}
        return open_store(Destination(destination.name, settings), kind)
    return open_store(destination, kind)


@contextmanager
def _alone(record: Path, unit: Unit, name: str) -> Iterator[Path]:
    """The folder of the unit's restored files, for this process alone; what a killed one left in it is removed.

    When the restore fails, so are the folders that it made and that hold nothing.
    """
    folder = record.parent / str(unit)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        lock(folder.parent / f".{unit}.lock", what=f"the restore of {unit} from {name}"),
        without_empty_folders(folder),
    ):
        sweep_tree(folder)
        yield folder
