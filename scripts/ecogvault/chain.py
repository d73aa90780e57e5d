"""The chain of seal statements that this archive machine made for a unit, kept in `private/{code}/statements.jsonl`.

Each statement names the one before it, so that a replayed older one is known for what it is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ecogvault.intake.assignment import subject_lock
from ecogvault.naming import Unit
from ecogvault.private import Private
from ecogvault.records import FIRST, append_journal, read_journal
from ecogvault.statement import StatementError, statement_sha256


@dataclass(frozen=True)
class Readdressed:
    """What a reseal did to a sealed tarball: under which tree hash it was known, and its header's length then and now.

    Lengths are in bytes. What follows the header, nonce and payload, stayed as it was.
    """

    sha256_tree: str
    header: int
    new_header: int


def statements(private: Private, unit: Unit) -> list[dict[str, Any]]:
    """All statements made for a unit, oldest first. Raises Damaged."""
    return [line["statement"] for line in _lines(private, unit)]


def _lines(private: Private, unit: Unit) -> list[dict[str, Any]]:
    lines = read_journal(private.root / unit.code / "statements.jsonl")
    return [line for line in lines if line["statement"]["unit"] == str(unit)]


def same_payload(private: Private, unit: Unit, sha256_tree: str) -> tuple[int, dict[str, int]]:
    """The header's length of a resealed tarball, and those of the older ones with the same payload, by tree hash.

    0 and nothing for a tarball that is not known to be another one with a new header. Raises Damaged.
    """
    header, found, wanted = 0, dict[str, int](), sha256_tree
    for line in reversed(_lines(private, unit)):
        if line["statement"]["sha256_tree"] == wanted and line.get("readdressed"):
            before = Readdressed(**line["readdressed"])
            header = header or before.new_header
            found[before.sha256_tree] = before.header
            wanted = before.sha256_tree
    return header, found


def previous(private: Private, unit: Unit) -> str:
    """What the next statement of the unit has as `previous`."""
    known = statements(private, unit)
    return statement_sha256(known[-1]) if known else FIRST


def recipients_of(private: Private, unit: Unit, sha256_tree: str) -> frozenset[str] | None:
    """Whom (fingerprints) the sealed tarball of this tree hash is encrypted to; None if the chain does not know it."""
    made = [one for one in statements(private, unit) if one["sha256_tree"] == sha256_tree and one["form"] == "tarball"]
    return frozenset(made[-1]["recipients"]) if made else None


def place(private: Private, unit: Unit, statement: Mapping[str, Any], *, newest: bool = True) -> str:
    """Where a verified statement stands in the chain, as a remark; with `newest` a later one must not have replaced it.

    Of statements that were made side by side, several may follow the same one. Raises StatementError, Damaged.
    """
    made = statements(private, unit)
    said = f"the seal statement of {unit}, generation {statement['generation']},"
    digests = [statement_sha256(one) for one in made]
    if statement_sha256(statement) not in digests:
        raise StatementError(
            f"{said} is genuine, but not one of the {len(made)} that this machine's chain knows: it was made elsewhere "
            "with a trusted key, or private/ is older than it"
        )
    at = digests.index(statement_sha256(statement))
    if statement["previous"] not in (FIRST, *digests[:at]):
        raise StatementError(f"{said} follows a statement that does not stand before it in this machine's chain")
    later = [one for one in made if one["form"] == statement["form"] and one["generation"] > statement["generation"]]
    if newest and later:
        raise StatementError(
            f"{said} is genuine, but an older one: generation {later[-1]['generation']} of form {statement['form']} "
            f"replaced it at {later[-1]['at']}"
        )
    return f"{at + 1} of {len(made)} in this machine's chain"


def keep(private: Private, unit: Unit, statement: dict[str, Any], readdressed: Readdressed | None = None) -> None:
    """Add a statement to the chain, unless it stands there already, and how its tarball came from an older one."""
    with subject_lock(private, unit.code):
        if statement not in statements(private, unit):
            journal = private.root / unit.code / "statements.jsonl"
            more = {"readdressed": asdict(readdressed)} if readdressed else {}
            append_journal(journal, {"statement": statement, **more}, **private.modes)
