"""One unit, or one of its files, back from a destination."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecogvault import ledger
from ecogvault.config import Config
from ecogvault.files import lock, sweep_tree, without_empty_folders
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.restore.fetch import Progress
from ecogvault.restore.files import restore_files
from ecogvault.restore.proof import demand_statement, note_restored, write_proof
from ecogvault.restore.tarball import restore_member, restore_tarball
from ecogvault.stores import open_store


def restore_unit(config: Config, unit: Unit, name: str, record: Path, progress: Progress | None = None) -> str:
    """Restore one unit from destination `name`, and write what was proven. Returns a remark for the log.

    Raises NothingThere, NotWhatWasArchived, StatementError, StoreError, age's and tarball's errors, NoSpace, OSError.
    """
    copy = ledger.newest_copy(config, unit, name)
    destination = config.destinations[name]
    store = open_store(destination, unit.kind)
    statement = demand_statement(config, store, destination, unit, copy)
    count = 0

    def prove(manifest: Manifest) -> None:
        nonlocal count
        count = len(manifest) - len(copy.excluded)
        write_proof(record, unit, name, copy, folder=folder, files=count)
        note_restored(config, unit, name, copy)

    with _alone(record, unit, name) as folder:
        if destination.form == "tarball":
            restore_tarball(config, store, unit, copy, statement, folder, prove, progress)
        else:
            prove(restore_files(config, store, destination, unit, copy, statement, folder, progress))
    left_out = f"; {len(copy.excluded)} files are not kept there: {', '.join(copy.excluded)}" if copy.excluded else ""
    return f"{count} files restored and equal to their manifest{left_out}"


def restore_file(
    config: Config, unit: Unit, name: str, path: str, record: Path, progress: Progress | None = None
) -> str:
    """Restore one file by its path in the unit's manifest; only its own bytes are fetched, and what proves them.

    It proves nothing of the rest of the copy, so that the ledger's evidence stays as it is. Raises as restore_unit
    does.
    """
    copy = ledger.newest_copy(config, unit, name)
    destination = config.destinations[name]
    store = open_store(destination, unit.kind)
    statement = demand_statement(config, store, destination, unit, copy)
    with _alone(record, unit, name) as folder:
        if destination.form == "tarball":
            restore_member(config, store, unit, copy, statement, folder, path, progress)
        else:
            restore_files(config, store, destination, unit, copy, statement, folder, progress, only=[path])
    write_proof(record, unit, name, copy, folder=folder, files=1, path=path)
    return f"{path} restored and equal to the manifest of {unit}"


def restore_some(config: Config, unit: Unit, name: str, paths: Collection[str], record: Path) -> None:
    """Fetch some files of a set whose others cannot be read yet. Nothing is proven by it but these files.

    Raises as restore_unit does.
    """
    copy = ledger.newest_copy(config, unit, name)
    destination = config.destinations[name]
    store = open_store(destination, unit.kind)
    statement = demand_statement(config, store, destination, unit, copy)
    with _alone(record, unit, name) as folder:
        restore_files(config, store, destination, unit, copy, statement, folder, None, only=frozenset(paths))


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
