"""Seal statements: who sealed what, and in which order. age itself does not say who sealed.

A statement is a record (see records) of schema `ecogvault-statement 1`: unit, generation, form (`tarball` or `files`),
manifest_sha256, sha256_tree, recipients (fingerprints), at (UTC), previous (see statement_sha256; 64 zeros for the
first), signer (Ed25519 public key, 64 hex digits) and signature: Ed25519 (RFC 8032), in hex, over the canonical JSON of
all of these but the signature. Source: DESIGN, section 5.
"""

import fcntl
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ecogvault.config import Config, ConfigError
from ecogvault.digests import TreeHash
from ecogvault.errors import EcogvaultError
from ecogvault.files import lock, replacing
from ecogvault.records import FIRST, canonical, with_digest

SCHEMA = "ecogvault-statement 1"
FORMS = ("tarball", "files")

_DIGEST = re.compile("[0-9a-f]{64}")
_SIGNATURE = re.compile("[0-9a-f]{128}")
_TEXTS = ("unit", "at")
_DIGESTS = ("manifest_sha256", "sha256_tree", "previous", "signer")
_KEYS = {"schema", "generation", "form", "recipients", "signature", *_TEXTS, *_DIGESTS}


class StatementError(EcogvaultError):
    """A seal statement is not what it should be; the message says in what."""


class SigningKeyError(EcogvaultError):
    """The archive machine's signing key, or the list of signers, cannot be used."""


def tree_of_files(objects: Iterable[tuple[str, str]]) -> str:
    """What stands as `sha256_tree` for a set of files: the tree hash, in hex, over one line for each object.

    A line is the object's key, a tab, the tree hash of its bytes in hex, and a newline; lines are sorted by key.
    """
    ordered = sorted(objects)
    if any("\t" in key or "\n" in key for key, _ in ordered) or len({key for key, _ in ordered}) != len(ordered):
        raise ValueError("object keys must be unique and free of tabs and newlines")
    tree = TreeHash()
    for key, sha256_tree in ordered:
        tree.update(f"{key}\t{sha256_tree}\n".encode())
    return tree.hexdigest()


def make_statement(
    *,
    unit: str,
    generation: int,
    form: str,
    manifest_sha256: str,
    sha256_tree: str,
    recipients: Sequence[str],
    at: str,
    previous: str,
    key: Ed25519PrivateKey,
) -> dict[str, Any]:
    """A signed statement, ready for records.write_record. `recipients` are fingerprints, `at` is UTC (utc_now)."""
    signed: dict[str, Any] = {
        "schema": SCHEMA,
        "unit": unit,
        "generation": generation,
        "form": form,
        "manifest_sha256": manifest_sha256,
        "sha256_tree": sha256_tree,
        "recipients": list(recipients),
        "at": at,
        "previous": previous,
        "signer": public_text(key),
    }
    _check_form(signed | {"signature": "0" * 128})
    return with_digest(signed | {"signature": key.sign(canonical(signed)).hex()})


def verify_statement(
    record: Mapping[str, Any],
    signers: Collection[str],
    *,
    unit: str,
    generation: int | None = None,
    form: str | None = None,
    manifest_sha256: str | None = None,
    sha256_tree: str | None = None,
    previous: str | None = None,
) -> dict[str, Any]:
    """The statement itself, if one of `signers` signed it and it says what is expected; None expects nothing.

    Raises StatementError, naming the first thing that is wrong: form, signer, signature, unit, generation, content.
    """
    _check_form(record)
    said = f"the seal statement of {record['unit']}, generation {record['generation']},"
    if record["signer"] not in signers:
        raise StatementError(
            f"{said} is signed by {record['signer'][:16]}..., which is not in signers.txt: if you trust that archive"
            " machine, add its key there"
        )
    signed = {key: value for key, value in record.items() if key not in ("signature", "self_sha256")}
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(record["signer"]))
    try:
        public.verify(bytes.fromhex(record["signature"]), canonical(signed))
    except InvalidSignature:
        raise StatementError(f"{said} is forged or damaged: its signature does not match") from None
    expectations = {
        "unit": unit,
        "generation": generation,
        "form": form,
        "manifest_sha256": manifest_sha256,
        "sha256_tree": sha256_tree,
        "previous": previous,
    }
    for key, expected in expectations.items():
        if expected is not None and record[key] != expected:
            older = key == "generation" and record[key] < expected
            raise StatementError(
                f"{said} is genuine, but says {key} {record[key]} where {expected} was asked for"
                + (": an older one was put in its place" if older else "")
            )
    return dict(record)


def statement_sha256(record: Mapping[str, Any]) -> str:
    """What the next statement has as `previous`: SHA-256, in hex, of the canonical JSON, signature included."""
    digest: str = with_digest(record)["self_sha256"]
    return digest


def _check_form(record: Mapping[str, Any]) -> None:
    right = (
        set(record) - {"self_sha256"} == _KEYS
        and record["schema"] == SCHEMA
        and all(isinstance(record[key], str) for key in (*_TEXTS, *_DIGESTS, "signature"))
        and all(_DIGEST.fullmatch(record[key]) for key in _DIGESTS)
        and _SIGNATURE.fullmatch(record["signature"]) is not None
        and record["form"] in FORMS
        and type(record["generation"]) is int
        and record["generation"] >= 1
        and isinstance(record["recipients"], list)
        and all(isinstance(recipient, str) for recipient in record["recipients"])
    )
    if not right:
        raise StatementError(f"this is not a record of schema '{SCHEMA}'")


# --- the machine's key, and the keys that are trusted -----------------------------------------------------------------


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half of `key`, as statements and signers.txt have it: 64 hex digits."""
    return key.public_key().public_bytes_raw().hex()


def signing_key(path: Path, *, signers: Path | None = None, comment: str = "") -> Ed25519PrivateKey:
    """The archive machine's key, made at the first need (PKCS#8 PEM, 0600) and never overwritten.

    When it is made and `signers` is given, its public half is pinned there. Of several processes that need it at once,
    one makes it. Raises SigningKeyError, and OSError as it comes.
    """
    # Loading it takes 30 ms, which all who only read statements need not spend.
    from cryptography.hazmat.primitives import serialization

    if not path.exists():
        with lock(path.with_name(path.name + ".lock"), what="the signing key"):
            if not path.exists():
                key = Ed25519PrivateKey.generate()
                # Pinned first: a crash between the two leaves a pin without a key, never a key that nobody trusts.
                if signers is not None:
                    pin_signer(signers, public_text(key), comment)
                with replacing(path, mode=0o600) as stream:
                    stream.write(
                        key.private_bytes(
                            serialization.Encoding.PEM,
                            serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption(),
                        )
                    )
    if path.stat().st_mode & 0o027:
        raise SigningKeyError(f"{path} may be used by others: chmod 600 {path}")
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        loaded = None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise SigningKeyError(
            f"{path} is not an Ed25519 key in PEM: restore it from a copy; it is never made anew here"
        )
    return loaded


def read_signers(path: Path) -> list[str]:
    """The pinned public keys. Raises SigningKeyError, naming the line, and OSError as it comes."""
    keys: list[str] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        key = line.partition("#")[0].strip()
        if key and not _DIGEST.fullmatch(key):
            raise SigningKeyError(f"{path}, line {number}, is not a public key of 64 hex digits")
        if key:
            keys.append(key)
    return keys


def believed(config: Config) -> list[str]:
    """The public keys whose seals the configuration says to believe.

    Raises ConfigError when there is no such file, otherwise as read_signers.
    """
    path = config.path("signers")
    try:
        return read_signers(path)
    except FileNotFoundError:
        raise ConfigError(
            f"signers: there is no file {path}: it lists the public keys whose seals are believed; copy it from the"
            " archive machine or bring it back from your records (the first seal makes it on a new archive machine)"
        ) from None


def pin_signer(path: Path, public: str, comment: str = "") -> bool:
    """Add a public key to signers.txt unless it is there; returns whether it was added. Nothing else is changed."""
    if not _DIGEST.fullmatch(public):
        raise SigningKeyError("a signer is a public key of 64 hex digits")
    note = " ".join(comment.split())
    with open(path, "a+b") as stream:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
        stream.seek(0)
        known = stream.read()
        if public in read_signers(path):
            return False
        start = b"\n" if known and not known.endswith(b"\n") else b""
        stream.write(start + f"{public}{f'  # {note}' if note else ''}\n".encode())
        stream.flush()
        os.fsync(stream.fileno())
    return True


__all__ = [
    "FIRST",
    "FORMS",
    "SCHEMA",
    "SigningKeyError",
    "StatementError",
    "believed",
    "make_statement",
    "pin_signer",
    "public_text",
    "read_signers",
    "signing_key",
    "statement_sha256",
    "tree_of_files",
    "verify_statement",
]
