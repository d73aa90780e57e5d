"""A unit, or one of its files, out of a set of files at a destination."""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from ecogvault import layout, ledger
from ecogvault.age import Identity, decrypt_stream
from ecogvault.age.source import Readable
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.files import require_space
from ecogvault.keys import identities
from ecogvault.ledger import NothingThere
from ecogvault.manifest import Entry, Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.pool import run_all, unless
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.restore.fetch import Pieces, Progress, fetched, partial_path
from ecogvault.restore.nothing import no_such_file
from ecogvault.statement import tree_of_files
from ecogvault.stores import Store
from ecogvault.tarball.target import CheckedWriter, Target

LARGE = 64 * 1024 * 1024
"""From this size on (bytes), what was fetched of a file waits for the rest when a restore is interrupted."""
_TOGETHER = 16 * 1024 * 1024  # files that came wait for their names until they have so many bytes
_STEP = 1024 * 1024


def restore_files(
    config: Config,
    store: Store,
    unit: Unit,
    copy: ledger.Copy,
    statement: dict[str, Any],
    folder: Path,
    progress: Progress | None,
    only: Collection[str] | None = None,
) -> Manifest:
    """Fetch each file, decrypt it where it was encrypted, and name it only when its SHA-256 is the manifest's.

    `only` are the paths of the manifest that are wanted; the others are not asked for.
    """
    manifest = _manifest(config, store, unit, copy)
    if manifest.sha256 != statement["manifest_sha256"] or statement["sha256_tree"] != tree_of_files(
        (entry.path, entry.sha256) for entry in manifest
    ):
        raise NotWhatWasArchived(f"the manifest of {unit} at {store.name} is not the one that its statement describes")
    target = Target(folder, together=_TOGETHER)
    excluded = set(copy.excluded)
    wanted = [entry for entry in manifest if entry.path not in excluded and (only is None or entry.path in only)]
    if only and not wanted:
        raise NothingThere(no_such_file(config, unit, ", ".join(only), [entry.path for entry in manifest]))
    waiting = [entry for entry in wanted if not target.has(entry.path, entry.size, entry.sha256)]
    require_space(folder.parent, sum(entry.size for entry in waiting), what=f"restoring {unit}")
    fetcher = _Fetcher(
        store,
        target,
        folder.parent,
        identities(config) if any(ledger.is_encrypted(copy.file(entry.path)) for entry in wanted) else [],
        progress,
    )
    try:
        run_all(
            lambda entry: fetcher.fetch(copy.file(entry.path), entry),
            iter(waiting),
            stopping=fetcher.stopping,
        )
    finally:
        # Also when another file failed: what came whole is not fetched again.
        try:
            target.finish()
        finally:
            target.discard()
    return manifest


class _Fetcher:
    """Fetches files of one unit, several at a time. `keys` are empty where files lie plain."""

    def __init__(
        self,
        store: Store,
        target: Target,
        folder: Path,
        keys: Sequence[Identity],
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._target = target
        self._folder = folder
        self._keys = keys
        self._progress = progress
        self.stopping = Event()

    def fetch(self, one: Mapping[str, Any], entry: Entry) -> None:
        """One file, of which the ledger says `one`; it has its name when all of it was right."""
        key = str(one["key"])
        writer = CheckedWriter(self._target)
        writer.begin(entry.path)
        try:
            if int(one.get("size", 0)) >= LARGE:
                partial = partial_path(self._folder, key.replace("/", "_"))
                with fetched(self._store, key, partial, size=int(one["size"]), version_id=one["version_id"]) as (
                    stream,
                    sha256_tree,
                ):
                    # A damaged header reads as one that no key opens: where the digest is known, it decides first.
                    if one["sha256_tree"] and one["sha256_tree"] != sha256_tree:
                        raise self._wrong(entry)
                    self._write(stream, writer)
                    self._demand(writer, entry)
            else:
                pieces = self._store.get(key, version_id=one.get("version_id"))
                self._write(Pieces(self._until(pieces)), writer)
                self._demand(writer, entry)
        finally:
            writer.discard()
        if self._progress is not None:
            self._progress(entry.size)

    def _write(self, stream: Readable, writer: CheckedWriter) -> None:
        if self._keys:
            decrypt_stream(stream, self._keys, writer.add)
            return
        while data := stream.read(_STEP):
            unless(self.stopping)
            writer.add(memoryview(data))

    def _demand(self, writer: CheckedWriter, entry: Entry) -> None:
        if not writer.end(entry.sha256):
            raise self._wrong(entry)

    def _wrong(self, entry: Entry) -> NotWhatWasArchived:
        return NotWhatWasArchived(f"{entry.path} from {self._store.name} is not what its manifest says")

    def _until(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            unless(self.stopping)
            yield piece


def _manifest(config: Config, store: Store, unit: Unit, copy: ledger.Copy) -> Manifest:
    """The manifest of a set of files: the local one if it is of that content, else the encrypted one beside the set."""
    try:
        local = Manifest.read(Paths.of(config).manifest(unit))
        if local.sha256 == copy.manifest_sha256:
            return local
    except (FileNotFoundError, Damaged):
        pass  # the one at the destination is asked for below
    return manifest_at(config, store, unit, copy.generation)


def manifest_at(config: Config, store: Store, unit: Unit, generation: int) -> Manifest:
    """The encrypted manifest beside a set of files. Raises ConfigError, StoreError, age's errors, Damaged."""
    key = layout.manifest_key(unit, generation)
    plain = io.BytesIO()
    decrypt_stream(Pieces(store.get(key)), identities(config), plain.write)
    return Manifest.parse(plain.getvalue(), what=f"{key} at {store.name}")
