"""Seal statements as the metadata of an archive in a vault, and back. Pure.

A vault has no place for a statement beside the archive, so it is in the archive's description. Form and schema are not
said: archives are always sealed tarballs.
"""

from collections.abc import Mapping
from typing import Any

from ecogvault.records import with_digest
from ecogvault.statement import SCHEMA

_WORDS = {
    "ecogvault-unit": "unit",
    "ecogvault-manifest-sha256": "manifest_sha256",
    "ecogvault-sha256-tree": "sha256_tree",
    "ecogvault-at": "at",
    "ecogvault-previous": "previous",
    "ecogvault-signer": "signer",
    "ecogvault-signature": "signature",
}


def metadata_of(statement: Mapping[str, Any]) -> dict[str, str]:
    """A statement as metadata."""
    return {name: str(statement[key]) for name, key in _WORDS.items()} | {
        "ecogvault-generation": str(statement["generation"]),
        "ecogvault-to": ",".join(statement["recipients"]),
    }


def statement_in(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """The statement that metadata hold, not yet verified; None if they hold none."""
    generation = metadata.get("ecogvault-generation", "")
    if not generation.isdigit() or "ecogvault-to" not in metadata or any(name not in metadata for name in _WORDS):
        return None
    recipients = [one for one in metadata["ecogvault-to"].split(",") if one]
    said: dict[str, Any] = {
        "schema": SCHEMA,
        "generation": int(generation),
        "form": "tarball",
        "recipients": recipients,
    }
    return with_digest(said | {key: metadata[name] for name, key in _WORDS.items()})
