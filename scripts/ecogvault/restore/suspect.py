"""When a restore fails: whether the copy is to blame. What is found is in the ledger, so that nobody takes it again."""

from collections.abc import Iterator
from contextlib import contextmanager

from ecogvault import layout, ledger
from ecogvault.age import AgeError, NoMatchingIdentity
from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.rehash import Budget, rehash
from ecogvault.restore.asked import otherwise
from ecogvault.restore.errors import NotWhatWasArchived, StatementOfAnother
from ecogvault.restore.files import manifest_at
from ecogvault.restore.proof import demand_statement
from ecogvault.statement import StatementError
from ecogvault.stores import Store, StoreError, open_store
from ecogvault.stores.errors import NotFound, WrongBytes
from ecogvault.tarball import WrongUnit
from ecogvault.verify import verify_unit

SUSPICIOUS = (NotWhatWasArchived, NotFound, WrongBytes, Damaged, StatementError, AgeError, WrongUnit)
"""What may be the copy's own fault."""

_SHOWN = 3  # objects that are named


@contextmanager
def judged(config: Config, unit: Unit, name: str) -> Iterator[None]:
    """Around a restore: when it fails and the copy is to blame, the ledger says so, and the error what to do.

    `from=any` does not choose that copy any more, and `repair` replaces it. Raises what was raised, and OSError.
    """
    try:
        yield
    except SUSPICIOUS as error:
        found = find_fault(config, unit, name, error)
        if found:
            shown = "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
            error.args = (
                f"{error}: {shown}. That is in the ledger of {name} now: {otherwise(config, unit, name)}; `snakemake "
                "repair` replaces it",
            )
        raise


def find_fault(config: Config, unit: Unit, name: str, error: Exception) -> list[str]:
    """What is missing or wrong of the copy that a restore failed at with `error`; empty if the copy seems good.

    A listing is looked at first, then the statement, then every object is read back. A place that does not answer, or
    is not where the copy lies by now, says nothing about it. Raises OSError.
    """
    destination = config.destinations[name]
    try:
        copy = ledger.newest_copy(config, unit, name)
        if ledger.is_elsewhere(destination, unit.kind, copy):
            return []
        found = verify_unit(config, unit, name)
        if found:
            return found
        store = open_store(destination, unit.kind)
        wrong = _statement_is_wrong(config, store, destination, unit, copy, error)
        if wrong is not None:
            return [wrong]
        if isinstance(error, NoMatchingIdentity) and not _manifest_opens(config, store, destination, unit, copy):
            return []  # the key does not fit, and reading would show nothing
        return rehash(config, destination, [unit], Budget(None, None)).faults
    except (ledger.NothingThere, StoreError, Damaged):
        return []


def _statement_is_wrong(
    config: Config, store: Store, destination: Destination, unit: Unit, copy: ledger.Copy, error: Exception
) -> str | None:
    """Mark the statement if it is not one, when asked for once more, or if it is about something else (`error`)."""
    if not isinstance(error, StatementError | Damaged):
        return None
    try:
        demand_statement(config, store, destination, unit, copy)
        if not isinstance(error, StatementOfAnother):
            return None
    except (StatementError, Damaged):
        pass
    key = layout.statement_key(unit, copy.generation)
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, destination.name, unit):
        line = ledger.event("wrong", copy.generation, copy.manifest_sha256, keys=[key])
        ledger.find_out(paths, unit, destination.name, copy, [line], mode=config.file_mode)
    return f"{key} is wrong"


def _manifest_opens(config: Config, store: Store, destination: Destination, unit: Unit, copy: ledger.Copy) -> bool:
    """Whether the keys here open what lies beside a set of files, encrypted to the same recipients."""
    if copy.form == "tarball":
        return False  # its digest was right before anything was opened
    try:
        manifest_at(config, store, unit, copy.generation)
    except NoMatchingIdentity:
        return False
    except AgeError:
        return True
    return True
