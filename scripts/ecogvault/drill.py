"""Drills: restores that are done only to prove that they work, and are wiped afterwards, also those of a killed drill.

Per destination, the copy that was restored longest ago comes first; among those that never were, a draw decides, by a
seed that is said. Each copy is restored as a person would restore it, compared with its signed manifest, and its
recordings are opened with the library that the lab reads them with. What is found is in the ledger.
"""

import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecogvault import ledger
from ecogvault.config import Config, ConfigError, Destination
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import lock
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.records import utc_now
from ecogvault.rehash import GIB, newest
from ecogvault.restore import restore_unit
from ecogvault.restore.choose import is_cold, place_of
from ecogvault.restore.suspect import SUSPICIOUS, judged
from ecogvault.sizes import fitting
from ecogvault.stores.errors import Archived
from ecogvault.verify import chosen_units, verify_unit

Say = Callable[[str], None]
DEFAULT_GIB = 1.0
_RESERVED = slice(192, 236)  # of the EDF header: EDF+ specification, section 2.1.1


class DrillFailed(EcogvaultError):
    """A copy could not be restored, or is not what was archived. Nothing is more urgent than this."""


@dataclass(frozen=True)
class Chosen:
    """A copy that is drilled."""

    unit: Unit
    copy: ledger.Copy


@dataclass
class _Tally:
    proven: int = 0
    size: int = 0
    left: int = 0
    failed: list[str] = field(default_factory=list)


def drill(config: Config, *, say: Say) -> list[tuple[Unit, str]]:
    """Restore copies from each destination as far as the budget goes, and say a line per destination.

    `budget_gib` (by default 1) is per destination; one copy is always drilled. `drill_seed` decides the draw, by
    default today's date. `unit`, `subject`, `kind` and `from` restrict it. Returns what was restored, unit and
    destination. Raises ConfigError without an age identity, and DrillFailed at the end when a restore failed.
    """
    if config["age_identity"] is None:
        raise ConfigError("age_identity is not set: a drill is a real restore, and runs where restores run")
    seed = str(config["drill_seed"] or utc_now()[:10])
    budget = float(config["budget_gib"] if config["budget_gib"] is not None else DEFAULT_GIB) * GIB
    folder = Paths.of(config).restored / ".drill"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    done: list[tuple[Unit, str]] = []
    failed = 0
    with lock(folder.parent / ".drill.lock", what="the drill", wait=False):
        _wipe(folder)  # what a killed drill has left
        try:
            for name, destination in config.destinations.items():
                if config["from"] not in (None, name):
                    continue
                if is_cold(destination):
                    say(f"{name}: not drilled, it is {place_of(destination)[1]}: restore a unit from there instead")
                    continue
                tally = _drill_destination(config, destination, budget, seed, folder, done)
                failed += len(tally.failed)
                for line in tally.failed:
                    say(f"{name}: THE DRILL FAILED: {line}")
                size = fitting(tally.size, binary=True)
                say(f"{name}: {tally.proven} copies restored and compared, {size}; {tally.left} left (seed {seed})")
        finally:
            _wipe(folder)
    if failed:
        raise DrillFailed(
            f"{failed} copies cannot be restored as they are: see the lines above, have them repaired with "
            "`snakemake repair` (or `snakemake`, while the originals are here), then drill again"
        )
    return done


def order(copies: Iterable[Chosen], seed: str) -> list[Chosen]:
    """Those restored longest ago first; those that never were before all others, drawn by the seed. Pure."""
    drawn = sorted(copies, key=lambda one: (one.unit, one.copy.generation))
    random.Random(seed).shuffle(drawn)
    return sorted(drawn, key=lambda one: one.copy.proven.get("restored", ""))


def within(copies: Sequence[Chosen], budget: float) -> list[Chosen]:
    """As many of `copies`, in their order, as the budget (bytes) has room for; always the first. Pure."""
    found: list[Chosen] = []
    spent = 0
    for one in copies:
        if found and spent + one.copy.size > budget:
            break
        found.append(one)
        spent += one.copy.size
    return found


def _drill_destination(
    config: Config, destination: Destination, budget: float, seed: str, folder: Path, done: list[tuple[Unit, str]]
) -> _Tally:
    tally = _Tally()
    paths = Paths.of(config)
    copies = []
    for unit in chosen_units(config, destination.name):
        try:
            copy = newest(ledger.copies(paths.ledger(destination.name, unit)))
        except Damaged as error:
            tally.failed.append(str(error))
            continue
        if copy is not None:
            copies.append(Chosen(unit, copy))
    chosen = within(order(copies, seed), budget)
    tally.left = len(copies) - len(chosen)
    for one in chosen:
        try:
            _drill_copy(config, destination, one, folder / destination.name)
            tally.proven += 1
            tally.size += one.copy.size
            done.append((one.unit, destination.name))
        except Archived as error:
            tally.left += 1
            tally.failed.append(f"{one.unit}: {error}")
        except (EcogvaultError, OSError) as error:
            said = error if isinstance(error, EcogvaultError) else error.strerror
            tally.failed.append(f"{one.unit}: {said}")
        finally:
            _wipe(folder)
    return tally


def _drill_copy(config: Config, destination: Destination, one: Chosen, folder: Path) -> None:
    """Restore one copy; a failure that is not the copy's fault is tried again, any other is raised.

    An older version that came back is no good copy: a lifecycle rule may remove it any day. Raises DrillFailed.
    """
    record = folder / f"{one.unit}.json"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for last in (False, True):
        try:
            with judged(config, one.unit, destination.name):
                restore_unit(config, one.unit, destination.name, record)
            break
        except SUSPICIOUS:
            stands = newest(ledger.copies(Paths.of(config).ledger(destination.name, one.unit)))
            if last or stands is None or stands.generation != one.copy.generation:
                raise
    older = verify_unit(config, one.unit, destination.name)
    if older:
        raise DrillFailed(f"it came back from older versions alone, for {'; '.join(older)}")
    if one.unit.kind in RECORDING_KINDS:
        for path in sorted((folder / str(one.unit)).rglob(f"*.{one.unit.kind}")):
            _open_recording(path, one.unit)


def _open_recording(path: Path, unit: Unit) -> None:
    """Open a recording with pyedflib and read the first and the last second of every signal. Raises DrillFailed.

    pyedflib takes no recordings with gaps (EDF+D, BDF+D); of these, what was compared must do.
    """
    import pyedflib

    with open(path, "rb") as stream:
        if stream.read(_RESERVED.stop)[_RESERVED][:5] in (b"EDF+D", b"BDF+D"):
            return
    try:
        with pyedflib.EdfReader(str(path)) as reader:
            for signal in range(reader.signals_in_file):
                samples = int(reader.getNSamples()[signal])
                count = min(samples, max(1, int(reader.getSampleFrequency(signal))))
                reader.readSignal(signal, 0, count)
                reader.readSignal(signal, samples - count, count)
    except (OSError, ValueError) as error:
        raise DrillFailed(
            f"{unit} came back as it was archived, but pyedflib does not open it: {type(error).__name__}"
        ) from None


def _wipe(folder: Path) -> None:
    """Remove what a drill has restored. Raises OSError."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
