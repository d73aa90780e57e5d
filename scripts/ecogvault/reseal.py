"""Resealing: a sealed tarball that is there becomes the next generation, encrypted to the recipients listed now.

By default the age header alone is made anew and the payload copied as it is; with a new file key everything is
encrypted again. The order of writes is what makes an interruption harmless: the new files are whole on disk before the
unit's generation is raised; then its receipts from tarball destinations go, so that the next run sends the new
generation; the tarball gets its name, and its statement last. Whatever is interrupted is done by another reseal, and
until then an upload refuses a tarball whose statement is of another generation than the unit.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ecogvault import chain, costs, layout, ledger, registry
from ecogvault.age import (
    Envelope,
    FileSource,
    HeaderError,
    HeaderMacError,
    Identity,
    PayloadError,
    Recipient,
    Sealer,
    decrypt_stream,
    new_envelope,
    open_sealed,
)
from ecogvault.archive import sealing_lock
from ecogvault.config import Config, Destination
from ecogvault.digests import TreeHash
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import replacing, require_space
from ecogvault.intake.assignment import UnitState, raise_generation, read_units, unit_state
from ecogvault.keys import recipients
from ecogvault.naming import Unit, require_code
from ecogvault.paths import Paths
from ecogvault.place import Tree
from ecogvault.private import Private
from ecogvault.records import read_record, record_bytes, utc_now
from ecogvault.registry_copy import digest as registry_digest
from ecogvault.send import payload
from ecogvault.sizes import exact
from ecogvault.statement import believed, make_statement, signing_key, verify_statement
from ecogvault.stores.s3_options import ARCHIVE_CLASSES, CHARGED_CLASSES

_STEP = 1024 * 1024
_DAMAGED = (HeaderError, HeaderMacError, PayloadError)
Progress = Callable[[int], None]


class CannotReseal(EcogvaultError):
    """There is nothing here that could be resealed; the message says what to do."""


@dataclass(frozen=True)
class Survey:
    """What a reseal of some units would do: `ready` units, those that are `done` already, and why others cannot be."""

    ready: tuple[Unit, ...]
    done: tuple[Unit, ...]
    left: Mapping[Unit, str]


@dataclass(frozen=True)
class Resealed:
    """The new generation of a unit, and the size of its sealed tarball in bytes."""

    unit: Unit
    generation: int
    size: int


def chosen(private: Private, paths: Paths, what: str | None) -> list[Unit]:
    """The units that have content and are meant: one (`df5c5206_3_vid`), a subject's, or all for None.

    Raises EcogvaultError for what is neither, RegistryRefused for an unknown subject.
    """
    subjects = registry.load(private)
    if what is None:
        codes = [subject.code for subject in subjects]
    else:
        unit = Unit.parse(what) if "_" in what else None
        codes = [registry.find(subjects, unit.code if unit else require_code(what)).code]
    made = [state.unit for code in codes for state in read_units(paths, code).values() if state.generation]
    if what is not None and "_" in what:
        made = [one for one in made if str(one) == what]
        if not made:
            raise CannotReseal(f"{what} has no content yet: `snakemake` makes it")
    return sorted(made)


def survey(config: Config, private: Private, units: Iterable[Unit], *, new_file_key: bool) -> Survey:
    """What can be resealed, and why the rest cannot. Raises ConfigError, Damaged for private files, OSError."""
    paths = Paths.of(config)
    wanted = frozenset(recipient.fingerprint for recipient in recipients(config))
    closed = {one.code for one in registry.load(private) if one.status in ("closed", "erased")}
    ready: list[Unit] = []
    done: list[Unit] = []
    left: dict[Unit, str] = {}
    for unit in units:
        obstacle = _obstacle(paths, unit)
        if unit.code in closed:
            left[unit] = f"{unit.code} is closed, and no run would send its new generation"
        elif not new_file_key and _is_addressed(config, private, unit, wanted):
            done.append(unit)
        elif obstacle is not None:
            left[unit] = obstacle
        else:
            ready.append(unit)
    return Survey(tuple(ready), tuple(done), left)


def _obstacle(paths: Paths, unit: Unit) -> str | None:
    tarball = paths.sealed(unit)
    if not tarball.exists() and paths.statement(unit).exists():
        again = f"`snakemake {tarball}` makes it again from the coded files or the raw export"
        return f"its sealed tarball was pruned: {again}, then run this again"
    if not tarball.exists():
        return f"it was never sealed here: `snakemake {tarball}`"
    try:
        statement = read_record(paths.statement(unit))
    except (FileNotFoundError, Damaged):
        return f"its statement is missing or damaged: remove {tarball}, then `snakemake {tarball}`"
    if statement["manifest_sha256"] != unit_state(paths, unit).manifest_sha256:
        return "its sealed tarball is of older content: run `snakemake` first"
    return None


def _is_addressed(config: Config, private: Private, unit: Unit, wanted: frozenset[str]) -> bool:
    """Whether the newest generation, here and wherever it went, is encrypted to exactly the `wanted` fingerprints."""
    paths = Paths.of(config)
    state = unit_state(paths, unit)
    try:
        statement = read_record(paths.statement(unit))
    except (FileNotFoundError, Damaged):
        return False  # said as an obstacle
    if (statement["generation"], statement["manifest_sha256"]) != (state.generation, state.manifest_sha256):
        return False
    trees = {str(statement["sha256_tree"])}
    for destination in takers(config, unit):
        copy = ledger.copies(paths.ledger(destination.name, unit)).get(state.generation)
        key = layout.tarball_key(destination, unit, state.generation)
        trees |= {str(one["sha256_tree"]) for one in (copy.objects if copy else ()) if one["key"] == key}
    return all(chain.recipients_of(private, unit, tree) == wanted for tree in trees)


def takers(config: Config, unit: Unit) -> list[Destination]:
    """The destinations that take the unit as a sealed tarball."""
    return [one for one in config.destinations.values() if one.form == "tarball" and one.takes(unit.kind)]


def cost(config: Config, private: Private, units: Sequence[Unit], *, new_file_key: bool) -> list[str]:
    """What resealing `units` costs at each destination and cannot undo, line by line.

    Raises Damaged, ConfigError for a price file that is wrong, OSError.

    What is sent and what is copied is told within the few bytes by which the new header may be longer or shorter.
    """
    paths = Paths.of(config)
    lines = []
    old = []
    for destination in config.destinations.values():
        some = [unit for unit in units if destination.takes(unit.kind)]
        if destination.form == "tarball" and some:
            sizes = [paths.sealed(unit).stat().st_size for unit in some]
            size = sum(sizes)
            copied = 0 if new_file_key else sum(_to_copy(paths, private, destination, unit) for unit in some)
            why = _why(destination, copied, new_file_key=new_file_key)
            lines.append(
                f"{destination.name}: {len(some)} tarballs, {exact(size)}: {size - copied} bytes to be sent, {copied} "
                f"to be copied there: {why}{_money(config, destination, sizes)}"
            )
            old += [f"  {destination.name}: {key}" for unit in some for key in _older(paths, destination, unit)]
        elif any(destination.encrypts(unit.kind) for unit in some):
            lines.append(
                f"{destination.name}: 0 bytes: its files are encrypted one by one; they stay as they are, and go on "
                "opening with the keys that they were made for"
            )
    if old:
        lines += ["What is there stays there, costs what it costs, and opens with the keys that it was made for:", *old]
    lines.append(
        "The file keys become new: what was read or copied of older generations cannot be called back."
        if new_file_key
        else "The file keys stay: who could open an older generation can open the new one. If a key was compromised, "
        "use --new-file-key."
    )
    return lines


def _to_copy(paths: Paths, private: Private, destination: Destination, unit: Unit) -> int:
    """How much of the new generation the destination's service can copy from what is there."""
    if destination.settings.get("storage_class") in ARCHIVE_CLASSES:
        return 0
    tree = str(read_record(paths.statement(unit))["sha256_tree"])
    _, older = chain.same_payload(private, unit, tree)
    return payload.to_copy(
        destination,
        unit,
        ledger.copies(paths.ledger(destination.name, unit)),
        unit_state(paths, unit).manifest_sha256,
        {tree, *older},
        paths.sealed(unit).stat().st_size,
    )


def _why(destination: Destination, copied: int, *, new_file_key: bool) -> str:
    if new_file_key:
        return "all of it is encrypted anew"
    if destination.type != "s3":
        where = {"glacier": "a vault copies nothing", "azure": "from one blob to another nothing is copied"}
        return f"each goes whole, since {where.get(destination.type, 'in a folder nothing is copied')}"
    storage_class = destination.settings.get("storage_class")
    if storage_class in ARCHIVE_CLASSES:
        return f"each goes whole, since S3 copies nothing of class {storage_class} that was not brought back before"
    if not copied:
        return "each goes whole, since it fits in one part, or the generation before it is not known to be there"
    charged = f"; class {storage_class} charges a retrieval for it" if storage_class in CHARGED_CLASSES else ""
    return f"the first part of each is sent, and S3 copies the rest from the generation that is there{charged}"


def _money(config: Config, destination: Destination, sizes: Sequence[int]) -> str:
    """What the new generation costs there in money, as far as `prices` has prices: those of vaults."""
    if destination.type == "folder":
        return ""
    file = config.path("prices")
    if destination.type != "glacier" or not file.exists():
        return "; no price configured"
    prices = costs.read_prices(file)
    told = costs.upload_cost(prices, sizes, costs.part_size_of(destination))
    return f"; {told.money()}, at list prices of {prices.as_of}"


def _older(paths: Paths, destination: Destination, unit: Unit) -> list[str]:
    known = ledger.copies(paths.ledger(destination.name, unit))
    keys = [layout.tarball_key(destination, unit, generation) for generation in sorted(known)]
    held = {str(one["key"]) for copy in known.values() for one in copy.objects}
    return [key for key in keys if key in held]


def reseal_unit(
    config: Config,
    private: Private,
    unit: Unit,
    identities: Sequence[Identity],
    *,
    new_file_key: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> Resealed:
    """Make the next generation of a unit from the sealed tarball that is here.

    The tarball must be, byte for byte, what one of the unit's signed statements describes. `progress` is told of sealed
    bytes as they are read. Raises CannotReseal, Locked when an upload is under way, StatementError, age's errors,
    ConfigError, NoSpace, OSError; then nothing has changed.
    """
    paths = Paths.of(config)
    tarball = paths.sealed(unit)
    to = recipients(config)
    with ExitStack() as locks:
        locks.enter_context(sealing_lock(tarball.parent, unit))
        for destination in takers(config, unit):
            locks.enter_context(ledger.ledger_lock(paths, destination.name, unit, wait=False))
        obstacle = _obstacle(paths, unit)
        if obstacle is not None:
            raise CannotReseal(f"{unit}: {obstacle}")
        state = unit_state(paths, unit)
        tree = Tree.of(config)
        require_space(tarball.parent, tarball.stat().st_size, what=f"resealing {unit}")
        with open(tarball, "rb", buffering=0) as old, ExitStack() as outputs:
            envelope = _envelope(old, tarball, identities)
            # The statement is entered first and so renamed last: one of the new generation has its tarball beside it.
            stated, sealed = (
                outputs.enter_context(replacing(path, mode=tree.file_mode, group=tree.gid))
                for path in (paths.statement(unit), tarball)
            )
            reader = _Reader(old, progress)
            writer = _Writer(sealed)
            readdressed = None
            if new_file_key:
                try:
                    _encrypt_again(reader, identities, new_envelope(to), writer, threads)
                except _DAMAGED:
                    raise _not_as_stated(tarball) from None
            else:
                readdressed = _readdress(reader, envelope, to, writer)
            _require_stated(config, private, state, reader.tree.hexdigest())
            record = _statement(config, private, state, to, writer.tree.hexdigest())
            stated.write(record_bytes(record))
            for stream in (sealed, stated):
                stream.flush()
                os.fsync(stream.fileno())
            generation = raise_generation(private, paths, state)
            chain.keep(private, unit, record, readdressed)
            _take_back(config, unit)
        return Resealed(unit, generation, writer.tree.size)


def _envelope(stream: BinaryIO, tarball: Path, identities: Sequence[Identity]) -> Envelope:
    try:
        return open_sealed(FileSource(stream.fileno()), identities).envelope
    except _DAMAGED:
        raise _not_as_stated(tarball) from None


class _Reader:
    """The old tarball as it is read, hashed on the way."""

    def __init__(self, stream: BinaryIO, progress: Progress | None) -> None:
        self._stream = stream
        self._progress = progress
        self.tree = TreeHash()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.tree.update(data)
        if self._progress is not None:
            self._progress(len(data))
        return data


class _Writer:
    """The new tarball as it is written, hashed on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.tree = TreeHash()

    def write(self, data: bytes | memoryview) -> None:
        self.tree.update(data)
        self._stream.write(data)


def _readdress(reader: _Reader, envelope: Envelope, to: Sequence[Recipient], writer: _Writer) -> chain.Readdressed:
    """A new header before the same nonce and payload."""
    left = len(envelope.header)
    while left:
        left -= len(reader.read(left))
    header = envelope.readdressed(to).header
    writer.write(header)
    while data := reader.read(_STEP):
        writer.write(data)
    return chain.Readdressed(reader.tree.hexdigest(), len(envelope.header), len(header))


def _encrypt_again(
    reader: _Reader, identities: Sequence[Identity], envelope: Envelope, writer: _Writer, threads: int
) -> None:
    """The same compressed stream under a new key; its frames, and so the index, stay as they are."""
    with Sealer(envelope, writer.write, threads=threads) as sealer:
        decrypt_stream(reader, identities, sealer.write, threads=threads)


def _require_stated(config: Config, private: Private, state: UnitState, sha256_tree: str) -> None:
    """Raise unless a signed statement describes the tarball that was read."""
    paths = Paths.of(config)
    for statement in (read_record(paths.statement(state.unit)), *chain.statements(private, state.unit)):
        if statement["sha256_tree"] == sha256_tree:
            verify_statement(
                statement,
                believed(config),
                unit=str(state.unit),
                form="tarball",
                manifest_sha256=state.manifest_sha256,
            )
            return
    raise _not_as_stated(paths.sealed(state.unit))


def _not_as_stated(tarball: Path) -> CannotReseal:
    return CannotReseal(
        f"{tarball} is not what its signed statement describes: it is damaged, or another file. Remove it, and "
        f"`snakemake {tarball}` makes it anew"
    )


def _statement(
    config: Config, private: Private, state: UnitState, to: Sequence[Recipient], sha256_tree: str
) -> dict[str, Any]:
    return make_statement(
        unit=str(state.unit),
        generation=state.generation + 1,
        form="tarball",
        manifest_sha256=state.manifest_sha256,
        sha256_tree=sha256_tree,
        recipients=[recipient.fingerprint for recipient in to],
        at=utc_now(),
        previous=chain.previous(private, state.unit),
        key=signing_key(config.signing_key, signers=config.path("signers")),
    )


def _take_back(config: Config, unit: Unit) -> None:
    """Remove the receipts that are of an older generation now, and the records of the registry's copies."""
    paths = Paths.of(config)
    gone = [paths.receipt(destination.name, unit) for destination in takers(config, unit)]
    for one in registry_digest.destinations(config):
        gone += Path(paths.results / "registry").glob(f"{one.name}.*.json")
    for path in gone:
        path.unlink(missing_ok=True)


__all__ = ["CannotReseal", "Resealed", "Survey", "chosen", "cost", "reseal_unit", "survey", "takers"]
