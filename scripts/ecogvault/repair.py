"""Repairing copies that were found missing or wrong, from the best other copy: sealed bytes and statement as they are.

No secret key is needed, and nothing but the ledgers and receipts is written here. Only what a destination itself has
said counts: a copy that could not be asked about is left alone. Source: DESIGN, section 4, "Actions".
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ecogvault import evidence, gate, layout, ledger
from ecogvault.archive import deliver
from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.restore.choose import Candidate, place_of
from ecogvault.restore.proof import demand_statement
from ecogvault.send.relay import NoStatement, Origin, OriginIsWrong, can_relay, relay_files, relay_tarball, restate
from ecogvault.send.shipment import Shipment
from ecogvault.send.vault import MustWait, relay_to_vault
from ecogvault.stores import StoreError, open_store
from ecogvault.transfer import transfer_state
from ecogvault.verify import chosen_units

Say = Callable[[str], None]


class NotRepaired(EcogvaultError):
    """A copy is still missing or wrong."""


@dataclass
class _Tally:
    repaired: int = 0
    sent: int = 0
    left: list[str] = field(default_factory=list)


def repair(config: Config, private: Private, *, say: Say) -> None:
    """Replace every newest copy that was found missing or wrong, and say a line per destination.

    `unit`, `subject` and `kind` in the configuration restrict it, and `from` is the only place to repair from. Raises
    NotRepaired at the end when a copy is still not what it was.
    """
    left = 0
    for name, destination in config.destinations.items():
        tally = _Tally()
        found, tally.left = broken(config, name)
        for unit, bad in found:
            try:
                sent, origin = _repair_unit(config, private, unit, destination, bad)
            except (EcogvaultError, OSError) as error:
                tally.left.append(f"{unit}: {error if isinstance(error, EcogvaultError) else error.strerror}")
                continue
            tally.repaired += 1
            tally.sent += sent
            say(f"{name}: {unit} is replaced from {origin}")
        still = f"; {len(tally.left)} not: {'; '.join(tally.left)}" if tally.left else ""
        say(f"{name}: {tally.repaired} copies repaired, {tally.sent} bytes sent{still}")
        left += len(tally.left)
    if left:
        raise NotRepaired(f"{left} copies are not repaired: see the lines above")


def broken(config: Config, name: str) -> tuple[list[tuple[Unit, ledger.Copy]], list[str]]:
    """The units whose newest copy at a destination was found missing or wrong; and what is said of damaged ledgers."""
    found, damaged = [], []
    for unit in chosen_units(config, name):
        try:
            known = ledger.copies(Paths.of(config).ledger(name, unit))
        except Damaged as error:  # what it says of its own unit alone is in doubt
            damaged.append(str(error))
            continue
        newest = max(known.values(), key=lambda copy: copy.generation, default=None)
        if newest is not None and newest.evidence is None and newest.fault:
            found.append((unit, newest))
    return found, damaged


def _repair_unit(
    config: Config, private: Private, unit: Unit, destination: Destination, bad: ledger.Copy
) -> tuple[int, str]:
    """Replace one copy; the bytes that were sent and the destination that they came from."""
    paths = Paths.of(config)
    listed = _manifest(paths, unit, bad)
    gate.require(config, private, unit, listed, paths.verdict(unit), destination)
    name = destination.name
    receipt = paths.receipt(name, unit)
    with (
        ledger.ledger_lock(paths, name, unit),
        transfer_state(
            paths.transfer(name, unit), paths.transfer_secrets(name, unit), what=f"the repair of {unit} at {name}"
        ) as state,
    ):
        tried: list[str] = []
        if _only_beside(bad, unit):
            receipt.unlink(missing_ok=True)
            try:
                _, sent = deliver(config, private, unit, destination, listed, bad.generation, state, receipt, restate)
                return sent, "what is known here"
            except NoStatement as error:
                tried.append(str(error))
        for origin_of in _origins(config, unit, destination, bad, listed, tried):
            try:
                origin = _origin(config, unit, origin_of)

                def send(shipment: Shipment, origin: Origin = origin) -> None:
                    if destination.type == "glacier":
                        relay_to_vault(shipment, origin)
                    elif destination.form == "tarball":
                        relay_tarball(shipment, origin)
                    else:
                        relay_files(shipment, origin)

                receipt.unlink(missing_ok=True)
                _, sent = deliver(config, private, unit, destination, listed, bad.generation, state, receipt, send)
                return sent, origin_of.destination.name
            except OriginIsWrong as error:
                _mark(config, unit, origin_of, error.key)
                tried.append(str(error))
            except MustWait:
                raise  # whatever the origin: the vault cannot say yet whether it has the archive
            except (StoreError, NoStatement) as error:
                tried.append(f"{origin_of.destination.name}: {error}")
    why = f" ({'; '.join(tried)})" if tried else ""
    raise NotRepaired(
        f"no other good copy can be sent there as it is{why}; where the raw export or the sealed tarball is here, "
        f"`snakemake` sends it anew{_elsewhere(config, unit, name, bad)}"
    )


def _only_beside(bad: ledger.Copy, unit: Unit) -> bool:
    """Whether what is missing or wrong is the statement or the manifest alone: these can be made from what is here."""
    beside = {layout.statement_key(unit, bad.generation), layout.manifest_key(unit, bad.generation)}
    return bool(bad.lost) and bad.lost.keys() <= beside


def _elsewhere(config: Config, unit: Unit, name: str, bad: ledger.Copy) -> str:
    """Where the same content still is, in another form, so that nobody takes it for lost."""
    others = []
    for other in config.destinations:
        with suppress(Damaged):
            known = ledger.copies(Paths.of(config).ledger(other, unit)).values()
            if other != name and any(one.evidence and one.manifest_sha256 == bad.manifest_sha256 for one in known):
                others.append(other)
    return f"; a copy of it is at {', '.join(others)}" if others else ""


def _manifest(paths: Paths, unit: Unit, bad: ledger.Copy) -> Manifest:
    try:
        listed = Manifest.read(paths.manifest(unit))
    except FileNotFoundError:
        raise NotRepaired("its manifest is not in the results: restore it from another destination instead") from None
    if listed.sha256 != bad.manifest_sha256:
        raise NotRepaired("the unit has newer content than this copy: run `snakemake`, which sends the newer one")
    return listed


def _origins(
    config: Config, unit: Unit, target: Destination, bad: ledger.Copy, listed: Manifest, tried: list[str]
) -> Sequence[Candidate]:
    """The copies elsewhere that can be sent on, best evidence first; what speaks against others goes to `tried`."""
    now = datetime.now(UTC)
    left_out = set(layout.excluded(target, unit, listed))
    found = []
    for name, destination in config.destinations.items():
        if name == target.name or config["from"] not in (None, name):
            continue
        try:
            known = ledger.copies(Paths.of(config).ledger(name, unit))
        except Damaged as error:
            tried.append(str(error))
            continue
        for copy in same_content(known.values(), bad, target.form):
            if not can_relay(target, copy, unit.kind, left_out):
                continue
            if destination.type == "glacier":
                tried.append(f"{name} holds it {place_of(destination)[1]}: it comes back here, by from={name}")
                continue
            grade, at = evidence.grade(copy, now, max_age_days=evidence.max_age_days(config))
            found.append(Candidate(destination, unit.kind, copy, grade, at))
    return sorted(found, key=lambda one: (-ledger.EVIDENCE.index(one.grade), place_of(one.destination)[0]))


def same_content(copies: Iterable[ledger.Copy], bad: ledger.Copy, form: str) -> list[ledger.Copy]:
    """The complete copies that hold what the broken one held: of a tarball the same generation. Pure."""
    return [
        copy
        for copy in copies
        if copy.evidence is not None
        and copy.manifest_sha256 == bad.manifest_sha256
        and (form == "files" or copy.generation == bad.generation)
    ]


def _origin(config: Config, unit: Unit, one: Candidate) -> Origin:
    store = open_store(one.destination, unit.kind)
    statement = demand_statement(config, store, one.destination, unit, one.copy)
    return Origin(one.destination, store, one.copy, statement)


def _mark(config: Config, unit: Unit, one: Candidate, key: str) -> None:
    """The copy that was to help is wrong itself, and is now known to be."""
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, one.destination.name, unit):
        line = ledger.event("wrong", one.copy.generation, one.copy.manifest_sha256, keys=[key])
        ledger.find_out(paths, unit, one.destination.name, one.copy, [line], mode=config.file_mode)
