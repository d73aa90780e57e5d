"""Sending a sealed tarball to a vault of Glacier. The statement goes along in the archive's description.

A vault takes the same content twice without a word, and gives each its own id. So before anything is sent, what is
known of the vault is asked: the ledger, and the inventory. What neither can know is waited for, never taken for absent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ecogvault import costs, layout, ledger
from ecogvault.errors import Damaged
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import read_record, write_record
from ecogvault.send.relay import Origin, relayed_tarball
from ecogvault.send.shipment import Shipment, described, put
from ecogvault.send.tarball import require_sealed
from ecogvault.statement import StatementError, believed, verify_statement
from ecogvault.stores import Source, StoreError, file_source
from ecogvault.stores.glacier_types import Unsure
from ecogvault.vault import inventory, sent
from ecogvault.vault.catalogue import Archive, Catalogue
from ecogvault.vault.compare import GRACE_HOURS
from ecogvault.vault.statements import metadata_of
from ecogvault.vault.waiting import Waiting, parsed, plus

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore


class MustWait(StoreError):
    """Whether the vault has the archive is not known yet; the message says from when it will be."""


def send_to_vault(shipment: Shipment) -> None:
    """Have the sealed tarball in the vault. Raises MustWait, StoreError, OSError."""
    if _has(shipment):
        return
    statement: Mapping[str, Any] = read_record(Paths.of(shipment.config).statement(shipment.unit))
    sealed = require_sealed(shipment, statement)
    costs.require_affordable_run(shipment.config, shipment.private)
    with file_source(sealed, what=str(sealed), sha256_tree=statement["sha256_tree"]) as source:
        _store(shipment, source, statement)


def relay_to_vault(shipment: Shipment, origin: Origin) -> None:
    """Have the sealed tarball of another destination in the vault. Raises MustWait, TooDear, StoreError."""
    if _has(shipment):
        return
    source = relayed_tarball(shipment, origin)
    costs.require_affordable_archive(shipment.config, shipment.destination, source.size)
    _store(shipment, source, origin.statement)


def _has(shipment: Shipment) -> bool:
    """Whether the vault has the archive, as far as can be known; the ledger knows it then. Raises MustWait."""
    key = _key(shipment)
    if key in shipment.here or _remembered(shipment):
        return True
    known = inventory.known_for(Paths.of(shipment.config), shipment.destination)
    if _adopted(shipment, key, known):
        return True
    return known is None and _adopted(shipment, key, _require_knowledge(shipment))


def _store(shipment: Shipment, source: Source, statement: Mapping[str, Any]) -> None:
    """Send the archive, and have its id in the ledger."""
    key, about = _key(shipment), _about(shipment)
    sent.note_begun(*about)
    try:
        stored = put(shipment, key, source, metadata_of(statement), None)
    except Unsure as doubt:
        if _settle(shipment, key, doubt):
            return
        stored = put(shipment, key, source, metadata_of(statement), None)
    # The id is in the ledger, on disk, before anything else is done: nothing but an inventory could tell it again.
    one = described(stored, archive_id=stored.archive_id, archived_at=stored.at)
    shipment.note(one, stored.bytes_sent)
    sent.note_stored(*about, one)
    shipment.state.upload(key).forget()


def _key(shipment: Shipment) -> str:
    return layout.tarball_key(shipment.destination, shipment.unit, shipment.generation)


def _about(shipment: Shipment) -> tuple[Private, Unit, str, int, str]:
    """What the notes of sent archives tell apart."""
    vault = str(shipment.destination.settings["vault"])
    return shipment.private, shipment.unit, vault, shipment.generation, shipment.manifest.sha256


def _remembered(shipment: Shipment) -> bool:
    """Enter the archive that this machine sent before its ledger was lost. True: the ledger knows it again.

    Raises MustWait for one that was begun and of which nothing else is known: an inventory has to tell what became of
    it. A copy of which the ledger says that it is missing or wrong is sent anew.
    """
    copy = shipment.known.get(shipment.generation)
    line = sent.newest(*_about(shipment))
    if line is None or (copy is not None and copy.fault):
        return False
    if line["event"] == sent.STORED:
        shipment.note(dict(line["object"]), 0)
        return True
    if copy is not None and not _doubt_path(shipment).exists():
        return False  # interrupted here: the state of the transfer knows how far it was
    key = _key(shipment)
    doubt = Unsure(f"the sending of {key} was begun at {line['at']}, and what became of it is not known here")
    return _settle(shipment, key, doubt)


def _adopted(shipment: Shipment, key: str, known: Catalogue | None) -> bool:
    """Note the archive of this very content that an inventory lists, if it lists one."""
    for one in known.archives if known is not None else ():
        if _is_ours(shipment, one):
            shipment.note(archive_object(one, key=key, vault=str(shipment.destination.settings["vault"])), 0)
            shipment.state.upload(key).forget()
            _doubt_path(shipment).unlink(missing_ok=True)
            return True
    return False


def archive_object(one: Archive, *, key: str, vault: str) -> dict[str, Any]:
    """What ledger and receipt say of an archive that an inventory lists."""
    return {
        "key": key,
        "bucket": vault,
        "version_id": None,
        "etag": None,
        "size": one.size,
        "part_size": None,
        "sha256_tree": one.sha256_tree,
        "crc64nvme": None,
        "md5": None,
        "archive_id": one.archive_id,
        "archived_at": one.created,
    }


def _is_ours(shipment: Shipment, one: Archive) -> bool:
    """Whether an archive holds this unit's content and generation, as a statement by a trusted key says."""
    statement = one.statement
    if statement is None or one.described is None:
        return False
    try:
        verify_statement(
            statement,
            believed(shipment.config),
            unit=str(shipment.unit),
            generation=shipment.generation,
            manifest_sha256=shipment.manifest.sha256,
            sha256_tree=one.sha256_tree,
        )
    except StatementError:
        return False
    return one.size == one.described.size


def _require_knowledge(shipment: Shipment) -> Catalogue | None:
    """Raise MustWait if the vault holds archives and this machine knows none of them: some may be the ones to send."""
    paths = Paths.of(shipment.config)
    name = shipment.destination.name
    for journal in paths.results.glob(f"*/ledger/{name}/*.jsonl"):
        try:
            if any(copy.objects for copy in ledger.copies(journal).values()):
                return None
        except Damaged:
            continue  # verify names it
    count = _vault(shipment).described().get("NumberOfArchives") or 0
    if not count:
        return None
    known, waiting = inventory.step(shipment.config, shipment.destination, _vault(shipment))
    if known is None and waiting is not None:
        raise MustWait(
            f"vault {shipment.destination.settings['vault']} holds {count} archives that this machine knows nothing "
            f"of, and nothing is sent twice: {waiting.line(None)}"
        )
    return known


def _settle(shipment: Shipment, key: str, doubt: Unsure) -> bool:
    """Find out from an inventory whether an interrupted last request was done. True: it was, and the ledger knows.

    False: it was not, and the archive is to be sent anew. Raises MustWait until an inventory can tell.
    """
    path = _doubt_path(shipment)
    store = _vault(shipment)
    try:
        since = str(read_record(path)["since"])
    except (FileNotFoundError, Damaged):
        since = store.now()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, {"key": key, "since": since}, mode=shipment.config.file_mode)
    known, waiting = inventory.step(shipment.config, shipment.destination, _vault(shipment))
    if _adopted(shipment, key, known):
        return True
    certain = plus(since, GRACE_HOURS)
    if known is not None and parsed(known.date) >= parsed(certain):
        path.unlink()
        shipment.state.upload(key).forget()
        return False
    waiting = waiting or Waiting("a newer inventory", certain)
    raise MustWait(f"{doubt}: {waiting.line(None)}") from doubt


def _vault(shipment: Shipment) -> "VaultStore":
    return cast("VaultStore", shipment.store)


def _doubt_path(shipment: Shipment) -> Path:
    return Paths.of(shipment.config).doubt(shipment.destination.name, shipment.unit)
