"""The registry's copies at a destination: which there are, whose seal they bear, and bringing one back."""

import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.age import Identity
from ecogvault.config import Config, Destination
from ecogvault.digests import TreeHash
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import sync_folder, temporary_beside
from ecogvault.records import parse_record
from ecogvault.registry_copy import UNIT
from ecogvault.registry_copy.shelf import Shelf
from ecogvault.send.shipment import tree_hash_of
from ecogvault.statement import StatementError, verify_statement
from ecogvault.stores import Listed, Store, open_store
from ecogvault.stores.errors import NotFound, WrongBytes
from ecogvault.tarball import open_sealed_tarball
from ecogvault.tarball.seal import HOW_TO_NAME, MANIFEST_NAME

PREFIX = "registry/"
TIME_PATTERN = "[0-9]{8}T[0-9]{6}Z"
_TIMED = re.compile(rf"{PREFIX}({TIME_PATTERN})\.")
_KEY = re.compile(rf"{PREFIX}({TIME_PATTERN})\.tar\.zst\.age")


class NoRegistryCopy(EcogvaultError):
    """The destination has no copy of the registry that could be used; the message says why."""


class NotEmpty(EcogvaultError):
    """The folder to restore into holds something."""


@dataclass(frozen=True)
class RegistryCopy:
    """One copy at a destination, made at `at` (UTC, `20260302T091011Z`). Without a statement it is not whole."""

    at: str
    size: int
    has_statement: bool

    @property
    def key(self) -> str:
        """The object's key."""
        return tarball_key(self.at)


def tarball_key(at: str) -> str:
    """The key of the copy made at `at`."""
    return f"{PREFIX}{at}.tar.zst.age"


def statement_key(at: str) -> str:
    """The key of its signed statement."""
    return f"{PREFIX}{at}.statement.json"


def time_of(key: str) -> str:
    """When the copy under a tarball's key was made. Raises Damaged if it is no such key."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise Damaged(f"{key!r} is not the key of a copy of the registry")
    return match[1]


def registry_store(config: Config, destination: Destination) -> Store:
    """The store for the registry's copy; a vault as a Shelf.

    In S3: the one bucket, or that for `edf`, or the first that is named. A `storage_class` does not hold for it: it is
    small, and must be at hand when everything else is lost.
    """
    if destination.type == "glacier":
        return Shelf(config, destination)
    settings = {name: value for name, value in destination.settings.items() if name != "storage_class"}
    bucket = settings.get("bucket")
    if isinstance(bucket, Mapping):
        settings["bucket"] = bucket.get("edf") or next(iter(bucket.values()))
    return open_store(Destination(destination.name, settings), "edf")


def copies(store: Store) -> list[RegistryCopy]:
    """All copies at a destination, the newest first. Raises StoreError."""
    return copies_in(store.list(PREFIX))


def copies_in(objects: Iterable[Listed]) -> list[RegistryCopy]:
    """The copies in a listing, the newest first. Pure."""
    listed = {one.key: one for one in objects}
    found = [
        RegistryCopy(match[1], one.size, statement_key(match[1]) in listed)
        for key, one in listed.items()
        if (match := _KEY.fullmatch(key))
    ]
    return sorted(found, key=lambda copy: copy.at, reverse=True)


def newest_time(objects: Iterable[Listed]) -> str | None:
    """The newest time that anything in a listing is named by, also a statement whose tarball is lost. Pure."""
    return max((match[1] for one in objects if (match := _TIMED.match(one.key))), default=None)


def statement_of(store: Store, copy: RegistryCopy, signers: Collection[str]) -> dict[str, Any]:
    """The statement about a copy, signed by one of `signers`. Raises Damaged, StatementError, StoreError."""
    key = statement_key(copy.at)
    record = parse_record(b"".join(store.get(key)), what=f"{key} at {store.name}")
    return verify_statement(record, signers, unit=UNIT, form="tarball")


def newest_believed(
    store: Store, found: Sequence[RegistryCopy], signers: Collection[str]
) -> tuple[RegistryCopy, dict[str, Any]] | None:
    """The newest copy whose statement one of `signers` signed. Raises StoreError."""
    for copy in found:
        if copy.has_statement:
            try:
                return copy, statement_of(store, copy, signers)
            except (Damaged, StatementError):
                continue  # somebody else's, or damaged: neither says anything about our own
    return None


def chosen(store: Store, at: str | None) -> RegistryCopy:
    """The copy of time `at`, or the newest that is whole. Raises NoRegistryCopy, StoreError."""
    found = copies(store)
    whole = [copy for copy in found if copy.has_statement and at in (None, copy.at)]
    if whole:
        return whole[0]
    if at is not None and any(copy.at == at for copy in found):
        raise NoRegistryCopy(
            f"the copy of {at} at {store.name} has no statement beside it, as when its upload was interrupted: "
            "--list shows the others"
        )
    if at is not None and found:
        raise NoRegistryCopy(f"{store.name} has no copy of the registry of {at}: --list shows which there are")
    raise NoRegistryCopy(
        f"{store.name} has no copy of the registry in {store.where}: copies go to destinations with `registry: true`"
    )


def has_tree(store: Store, key: str, sha256_tree: str) -> bool:
    """Whether an object's bytes, read back, have this tree hash. Raises Archived, StoreError.

    What was received otherwise than the service itself says is read once more: a connection may have been at fault.
    """
    for _ in range(2):
        try:
            return tree_hash_of(store, key) == sha256_tree
        except NotFound:
            return False
        except WrongBytes:
            continue
    return False


def restore(
    store: Store, copy: RegistryCopy, signers: Collection[str], identities: Sequence[Identity], folder: Path
) -> int:
    """Bring a copy back as `folder` (0700, files 0600), which appears whole or not at all; returns its files' number.

    The statement is demanded first; the sealed bytes must have its tree hash, and what is inside its manifest.
    Raises NotEmpty, Damaged, StatementError, StoreError, age's and tarball's errors, OSError as it comes.
    """
    require_empty(folder)
    statement = statement_of(store, copy, signers)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = temporary_beside(folder)
    work.mkdir(mode=0o700)
    try:
        sealed = work / "sealed"
        _fetch(store, copy.key, sealed, statement["sha256_tree"])
        opened = open_sealed_tarball(sealed, identities, work, expect_unit=UNIT)
        if opened.manifest.sha256 != statement["manifest_sha256"]:
            raise Damaged(f"{copy.key} at {store.name} holds other files than its statement says: take another copy")
        for name in (MANIFEST_NAME, HOW_TO_NAME):
            (opened.folder / name).unlink()
        # rename puts a folder in the place of an empty one, and of nothing else.
        os.rename(opened.folder, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return len(opened.manifest)


def require_empty(folder: Path) -> None:
    """Raise NotEmpty unless `folder` is missing or an empty folder."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise NotEmpty(f"{folder} is not an empty folder, and nothing is ever overwritten: name one that is not there")


def _fetch(store: Store, key: str, target: Path, sha256_tree: str) -> None:
    tree = TreeHash()
    with open(target, "wb") as stream:
        for piece in store.get(key):
            tree.update(piece)
            stream.write(piece)
    if tree.hexdigest() != sha256_tree:
        raise Damaged(f"{key} at {store.name} is not the object that its signed statement describes: take another copy")


__all__ = [
    "PREFIX",
    "TIME_PATTERN",
    "NoRegistryCopy",
    "NotEmpty",
    "RegistryCopy",
    "chosen",
    "copies",
    "copies_in",
    "has_tree",
    "newest_believed",
    "newest_time",
    "registry_store",
    "require_empty",
    "restore",
    "statement_key",
    "statement_of",
    "tarball_key",
    "time_of",
]
