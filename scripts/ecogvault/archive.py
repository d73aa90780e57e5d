"""Archiving one unit: sealing it, and having it at a destination with a receipt.

The order of writes is what makes an interruption harmless: an intent before the first request, an event for each object
that the destination confirmed, the receipt last. A rerun adopts what is there and sends only what is not.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ecogvault import chain, gate, layout, ledger
from ecogvault.config import Config, ConfigError, Destination
from ecogvault.deidentify import ensure_tree
from ecogvault.files import lock
from ecogvault.intake.assignment import read_sessions, unit_state
from ecogvault.intake.settings import DEFAULTS, made_with
from ecogvault.keys import recipients
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.place import Tree
from ecogvault.private import Private
from ecogvault.records import read_record
from ecogvault.send import Shipment, send_files, send_tarball, send_to_vault, to_send
from ecogvault.stores import Mounted, open_store
from ecogvault.stores.errors import BucketMissing
from ecogvault.tarball import seal
from ecogvault.transfer import TransferState, transfer_state

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Uploaded:
    """What an upload did."""

    copy: ledger.Copy
    sent: int
    note: str


def seal_unit(
    config: Config,
    private: Private,
    unit: Unit,
    *,
    manifest: Path,
    verdict: Path,
    tarball: Path,
    index: Path,
    statement: Path,
    threads: int = 1,
    progress: Progress | None = None,
) -> str:
    """Seal a unit that passes the gate. Returns a remark for the log.

    Raises phi.Refused, ConfigError, what tarball.seal raises, and OSError.
    """
    paths = Paths.of(config)
    listed = Manifest.read(manifest)
    gate.require(config, private, unit, listed, verdict, None)
    ensure_tree(config, private, unit, listed)
    generation = current_generation(paths, unit, listed)
    start = next(row.start for row in read_sessions(paths, unit.code) if row.unit == unit)
    # As the content was made, whatever the configuration says by now.
    start += made_with(paths, unit.code).get(unit, DEFAULTS).offset(start, config.zone)
    tree = Tree.of(config)
    # The orphan of a killed run may still be sealing this unit: tarball, index and statement belong together.
    with sealing_lock(tarball.parent, unit):
        done = seal(
            listed,
            root=paths.subject(unit.code),
            unit=str(unit),
            tarball=tarball,
            index=index,
            statement=statement,
            recipients=recipients(config),
            generation=generation,
            previous_statement_sha256=chain.previous(private, unit),
            signing_key=config.signing_key,
            signers=config.path("signers"),
            mtime=int(start.timestamp()),
            threads=threads,
            mode=tree.file_mode,
            group=tree.gid,
            progress=progress,
        )
        chain.keep(private, unit, read_record(statement))
    return f"generation {generation}: {listed.total_size} bytes sealed as {done.size}, tree hash {done.sha256_tree}"


def sealing_lock(folder: Path, unit: Unit) -> AbstractContextManager[None]:
    """Serialises whoever writes a unit's sealed tarball in `folder`."""
    return lock(folder / f".{unit}.lock", what=f"the sealing of {unit}")


def current_generation(paths: Paths, unit: Unit, manifest: Manifest) -> int:
    """The generation whose content `manifest` is. Raises ConfigError when it is not the unit's newest content."""
    state = unit_state(paths, unit)
    if state.manifest_sha256 != manifest.sha256:
        raise ConfigError(f"the manifest of {unit} is not its newest content: run `snakemake` again")
    return state.generation


def upload_unit(
    config: Config,
    private: Private,
    unit: Unit,
    name: str,
    *,
    manifest: Path,
    verdict: Path,
    receipt: Path,
    progress: Progress | None = None,
) -> Uploaded:
    """Have the unit's newest content at destination `name`, and write the receipt.

    What the ledger already holds for this content is not sent again. Raises phi.Refused, ConfigError, StoreError,
    Damaged, Locked, OSError.
    """
    paths = Paths.of(config)
    destination = config.destinations[name]
    listed = Manifest.read(manifest)
    current = current_generation(paths, unit, listed)
    modes = (config.file_mode, Tree.of(config).gid)
    journal = paths.ledger(name, unit)
    with (
        ledger.ledger_lock(paths, name, unit),
        transfer_state(
            paths.transfer(name, unit), paths.transfer_secrets(name, unit), what=f"the upload of {unit} to {name}"
        ) as state,
    ):
        known = ledger.copies(journal)
        generation = ledger.generation_there(destination.form, known, current, listed.sha256)
        copy = known.get(generation)
        if copy is not None and copy.manifest_sha256 == listed.sha256 and copy.evidence is not None:
            _clear_up(destination, unit, state, [])
            ledger.write_receipt(receipt, unit, name, copy, mode=modes[0], group=modes[1])
            return Uploaded(copy, 0, "there already, as the ledger says: nothing was sent")
        gate.require(config, private, unit, listed, verdict, destination)

        def send(shipment: Shipment) -> None:
            if destination.type == "glacier":
                send_to_vault(shipment)
            elif destination.form == "tarball":
                send_tarball(shipment)
            else:
                ensure_tree(config, private, unit, listed)
                send_files(shipment)

        copy, sent = deliver(config, private, unit, destination, listed, generation, state, receipt, send, progress)
    return Uploaded(copy, sent, f"{len(copy.objects)} objects, {sent} bytes sent")


def deliver(
    config: Config,
    private: Private,
    unit: Unit,
    destination: Destination,
    manifest: Manifest,
    generation: int,
    state: TransferState,
    receipt: Path,
    send: Callable[[Shipment], None],
    progress: Progress | None = None,
) -> tuple[ledger.Copy, int]:
    """Have `send` bring a unit's objects to a destination, with what the ledger and the receipt say of it.

    The caller holds the ledger's lock, and has asked the gate. Returns the copy and the bytes that were sent.
    """
    name = destination.name
    mode, group = config.file_mode, Tree.of(config).gid
    journal = Paths.of(config).ledger(name, unit)
    known = ledger.copies(journal)
    ledger.append(journal, ledger.event("intent", generation, manifest.sha256), mode=mode, group=group)
    sent = 0

    def note(one: dict[str, object], bytes_sent: int) -> None:
        nonlocal sent
        sent += bytes_sent
        ledger.append(journal, ledger.event("object", generation, manifest.sha256, object=one), mode=mode, group=group)

    def advance(count: int) -> None:
        state.advance(count)
        if progress is not None:
            progress(count)

    shipment = Shipment(
        config=config,
        private=private,
        destination=destination,
        unit=unit,
        generation=generation,
        manifest=manifest,
        recipients=recipients(config),
        known={gen: one for gen, one in known.items() if gen <= generation},
        store=open_store(destination, unit.kind),
        state=state,
        note=note,
        progress=advance,
    )
    shipment.store.preflight()
    if isinstance(shipment.store, Mounted):
        try:
            shipment.store.require_mounted()
        except BucketMissing:
            if has_copies(config, name):
                raise
    state.expect(to_send(shipment))
    send(shipment)
    excluded = layout.excluded(destination, unit, manifest)
    line = ledger.event("acknowledged", generation, manifest.sha256, excluded=excluded, bytes_sent=sent)
    ledger.append(journal, line, mode=mode, group=group)
    _clear_up(destination, unit, state, [gen for gen in known if gen < generation and known[gen].evidence is None])
    copy = ledger.copies(journal)[generation]
    ledger.write_receipt(receipt, unit, name, copy, mode=mode, group=group)
    return copy, sent


def has_copies(config: Config, name: str) -> bool:
    """Whether any ledger knows a complete copy at destination `name`."""
    journals = config.results.glob(f"*/ledger/{name}/*.jsonl")
    return any(copy.evidence for journal in journals for copy in ledger.copies(journal).values())


def _clear_up(destination: Destination, unit: Unit, state: TransferState, given_up: list[int]) -> None:
    """End what interrupted uploads have left at keys that are not wanted any more, and forget how far they were.

    `given_up` are earlier generations that were begun and never completed there.
    """
    left = set(state.unfinished)
    if destination.form == "tarball":
        left |= {layout.tarball_key(destination, unit, generation) for generation in given_up}
    if left:
        store = open_store(destination, unit.kind)
        for key in sorted(left):
            store.abort_unfinished(key)
    state.done()
