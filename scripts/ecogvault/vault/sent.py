"""What this machine has sent to vaults: `private/{code}/vaults.jsonl`. It outlives the results and their ledgers.

A vault cannot be asked what it holds: its inventory is a day old at best. So each archive is noted here before it is
begun, and with its id when it is there. The registry's own copy takes the notes along.
"""

from collections.abc import Mapping
from typing import Any

from ecogvault.intake.assignment import subject_lock
from ecogvault.naming import Unit
from ecogvault.private import Private
from ecogvault.records import append_journal, read_journal, utc_now

BEGUN, STORED = "begun", "stored"


def note_begun(private: Private, unit: Unit, vault: str, generation: int, manifest_sha256: str) -> None:
    """Note that an archive is about to be sent."""
    _note(private, unit, BEGUN, vault, generation, manifest_sha256, None)


def note_stored(
    private: Private, unit: Unit, vault: str, generation: int, manifest_sha256: str, one: Mapping[str, Any]
) -> None:
    """Note that an archive is there: `one` is what the ledger says of it."""
    _note(private, unit, STORED, vault, generation, manifest_sha256, one)


def newest(private: Private, unit: Unit, vault: str, generation: int, manifest_sha256: str) -> Mapping[str, Any] | None:
    """The newest note of this very content in a vault: `event`, `at`, and the `object` of what was stored."""
    wanted = (str(unit), vault, generation, manifest_sha256)
    found = None
    for line in read_journal(private.root / unit.code / "vaults.jsonl"):
        if (line["unit"], line["vault"], line["generation"], line["manifest_sha256"]) == wanted:
            found = line
    return found


def _note(
    private: Private,
    unit: Unit,
    event: str,
    vault: str,
    generation: int,
    manifest_sha256: str,
    one: Mapping[str, Any] | None,
) -> None:
    line = {
        "event": event,
        "at": utc_now(),
        "unit": str(unit),
        "vault": vault,
        "generation": generation,
        "manifest_sha256": manifest_sha256,
        "object": one,
    }
    with subject_lock(private, unit.code):
        append_journal(private.root / unit.code / "vaults.jsonl", line, **private.modes)
