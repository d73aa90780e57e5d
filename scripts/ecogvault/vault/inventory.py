"""Asking a vault what it holds, over hours and several runs: request, remember, poll, fetch, keep.

One request at a time: what was asked for is on disk, and a job that was asked for by a run that was killed before it
could write that down, or by another machine, is found among the vault's jobs and used. The output is kept as it came in
`private/` (descriptions that are not ours may hold names), and as a catalogue in `results/inventory/`.
"""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged
from ecogvault.files import lock, replacing
from ecogvault.paths import Paths
from ecogvault.records import read_record, write_record
from ecogvault.stores import open_vault
from ecogvault.stores.glacier_types import JobGone, NoInventory
from ecogvault.vault import catalogue
from ecogvault.vault.catalogue import Catalogue
from ecogvault.vault.waiting import Waiting, later, parsed, plus

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

JOB = "ecogvault inventory"
"""How our inventory jobs are described."""
SCHEMA = "ecogvault-inventory-job 1"
_POLL_SECONDS = 300.0


def bring(
    config: Config, destination: Destination, *, wait_hours: float = 0.0
) -> tuple[Catalogue | None, Waiting | None]:
    """The newest catalogue here, and what is waited for. Asks for a newer inventory if the vault has one.

    With `wait_hours` waits so long for what was asked for. Raises StoreError, Damaged, OSError.
    """
    end = time.monotonic() + 3600 * wait_hours
    store = open_vault(destination)
    while True:
        known, waiting = step(config, destination, store)
        left = end - time.monotonic()
        if waiting is None or left <= 0:
            return known, waiting
        threading.Event().wait(min(left, _POLL_SECONDS, max(1.0, 3600 * wait_hours / 10)))


def step(config: Config, destination: Destination, store: "VaultStore") -> tuple[Catalogue | None, Waiting | None]:
    """Do what can be done now; see bring."""
    paths = Paths.of(config)
    name = destination.name
    with lock(paths.inventory_job(name).with_suffix(".lock"), what=f"the inventory of {name}"):
        job = _remembered(paths, name)
        if job is not None and job["vault"] != store.vault:
            _forget(paths, name)
            job = None
        if job is not None:
            try:
                state = store.job(job["job_id"], "the inventory")
            except JobGone:
                _forget(paths, name)  # expired or lost: another is asked for below
            else:
                if state.state == "InProgress":
                    return known_for(paths, destination), _waiting(store.vault, job)
                if state.state == "Succeeded" and state.size is not None:
                    _fetch(config, destination, store, job, state.size)
                _forget(paths, name)
        known = known_for(paths, destination)
        told = store.described()
        newest = told.get("LastInventoryDate")
        if newest is None:
            return known, Waiting(
                f"the first inventory of vault {store.vault}, which Amazon makes within a day of the first upload",
                plus(store.now(), 24),
            )
        if known is not None and parsed(newest).replace(microsecond=0) <= parsed(known.date):
            return known, None
        try:
            job = _ask(config, paths, destination, store)
        except NoInventory as error:
            return known, Waiting(str(error), plus(store.now(), 24))
        return known, _waiting(store.vault, job)


def known_for(paths: Paths, destination: Destination) -> Catalogue | None:
    """The catalogue that is here, if it is of the vault that the configuration names. Raises Damaged."""
    known = catalogue.read(paths.inventory(destination.name))
    return known if known is not None and known.vault == str(destination.settings["vault"]) else None


def _ask(config: Config, paths: Paths, destination: Destination, store: "VaultStore") -> Mapping[str, Any]:
    found = store.unfinished_inventory(JOB)
    if found is not None:
        job_id, asked_at = found, store.now()
    else:
        job_id, asked_at = store.request_inventory(JOB)
    job = {"schema": SCHEMA, "vault": store.vault, "job_id": job_id, "asked_at": asked_at}
    path = paths.inventory_job(destination.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, job, mode=config.file_mode)
    return job


def _waiting(vault: str, job: Mapping[str, Any]) -> Waiting:
    return Waiting(
        f"the inventory of vault {vault}, asked for at {job['asked_at']}", later(job["asked_at"], "inventory")
    )


def _remembered(paths: Paths, name: str) -> Mapping[str, Any] | None:
    try:
        return read_record(paths.inventory_job(name))
    except FileNotFoundError:
        return None
    except Damaged:
        return None  # the job is found again among the vault's


def _forget(paths: Paths, name: str) -> None:
    paths.inventory_job(name).unlink(missing_ok=True)


def _fetch(config: Config, destination: Destination, store: "VaultStore", job: Mapping[str, Any], size: int) -> None:
    """Keep a job's output as it came, then as the catalogue, unless a newer one is here."""
    paths = Paths.of(config)
    data = b"".join(store.output(job["job_id"], "the inventory", 0, size))
    found = catalogue.from_output(data, vault=store.vault)
    if paths.private.is_dir():  # a machine that only restores has none, and keeps what is ours alone
        _keep_raw(paths, destination.name, found.date, data)
    known = known_for(paths, destination)
    if known is None or parsed(known.date) <= parsed(found.date):
        catalogue.write(paths.inventory(destination.name), found, mode=config.file_mode)


def _keep_raw(paths: Paths, name: str, date: str, data: bytes) -> None:
    folder = paths.raw_inventories(name)
    for one in reversed([folder, *folder.parents]):
        if paths.private in one.parents:
            one.mkdir(mode=0o700, exist_ok=True)
    with replacing(folder / f"{date.replace(':', '')}.json", mode=0o600) as stream:
        stream.write(data)
