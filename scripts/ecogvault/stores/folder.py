"""A folder, such as one on the lab's NAS.

A key is the path of a file below the root. A folder keeps no metadata, so whether a file is the same is decided by its
bytes. Everything is opened relative to a folder that is already open, without following links, so that no key and no
link planted meanwhile leads out of the root.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ecogvault.config import Destination
from ecogvault.files import TEMPORARY_SUFFIX, NoSpace, require_space
from ecogvault.records import canonical
from ecogvault.stores.base import (
    Absent,
    Listed,
    Presence,
    Present,
    Source,
    Stored,
    Unknown,
    UploadState,
)
from ecogvault.stores.errors import (
    BadKey,
    BucketMissing,
    Denied,
    KeyTaken,
    NotFound,
    SourceChanged,
    StoreError,
    WrongBytes,
)
from ecogvault.stores.folder_copy import copy, equal_prefix, tree_if_equal
from ecogvault.stores.folder_files import (
    CLOSED,
    PIECE,
    drop,
    etag_of,
    gid_of,
    is_temporary,
    left_closed,
    look,
    parts_of,
    present,
    settle,
    unreadable,
)
from ecogvault.stores.pieces import MIB
from ecogvault.stores.puts import achieved, taken
from ecogvault.stores.rename import rename_without_overwriting

RESUMABLE = 16 * MIB  # what is smaller is copied again from its beginning
SUPERSEDED = "superseded"


class FolderStore:
    """Files below `root`. `mode` is that of folders made here; files get it without x; `group` owns both."""

    def __init__(self, name: str, root: Path, *, group: str | None = None, mode: int = 0o750) -> None:
        self.name = name
        self.root = root
        self._folder_mode = mode
        self._file_mode = mode & 0o666
        self._gid = None if group is None else gid_of(group, name)

    @classmethod
    def from_destination(cls, destination: Destination) -> "FolderStore":
        """The folder of `destination`."""
        settings = destination.settings
        mode = int(str(settings.get("mode") or "750"), 8)
        return cls(destination.name, Path(settings["path"]), group=settings.get("group"), mode=mode)

    @property
    def where(self) -> str:
        """The folder, for messages."""
        return f"folder {self.root}"

    def preflight(self) -> None:
        """Check that the root is there and can be written to."""
        self._require_root()
        if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
            raise Denied(f"{self.where} cannot be written to by this user: ask for write permission")

    def head(self, key: str) -> Presence:
        """Whether `key` is a file; Unknown when the folder cannot be read or is not mounted."""
        try:
            self._require_root()
            with self._parent(key) as (folder, name):
                return present(folder, name)
        except FileNotFoundError:
            return Absent()
        except (StoreError, OSError) as error:
            return Unknown(str(error))

    def _require_root(self) -> None:
        """Raise BucketMissing unless the root is there: a NAS that is not mounted has lost no file."""
        try:
            there = self.root.is_dir()
        except OSError as error:
            raise unreadable(error, self.where) from error
        if not there:
            raise BucketMissing(f"{self.where} does not exist: mount it or create it, then run again")

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All files whose keys begin with `prefix`, sorted. Unfinished ones and links are left out.

        A root without anything in it is taken for one that is not mounted, since whoever asks knows of copies in it.
        """
        self.require_mounted()
        start = prefix.rpartition("/")[0]
        if start:
            parts_of(start)
        yield from self._listed_below(self.root / start, f"{start}/" if start else "", prefix)

    def put(
        self,
        key: str,
        source: Source,
        *,
        metadata: Mapping[str, str],
        state: UploadState,
        replace: str | None = None,
        progress: Callable[[int], None] | None = None,
        same: Callable[[Present], bool] | None = None,
    ) -> Stored:
        """Copy `source` to `key`; see Store.put. Without `same`, the file there is compared with `source` byte by byte.

        The file that `replace` names moves to `superseded/g{generation}/{key}` in the moment it is replaced. One that
        is replaced again within a generation, as after damage, moves to `superseded/g{generation}.2/{key}`, and so on.
        """
        self.preflight()
        with self._parent(key, make=True) as (folder, name):
            found = look(folder, name)
            if isinstance(found, Present):
                theirs = self._adopt(key, folder, name, found, source, same)
                if theirs is not None:
                    drop(folder, state)
                    self._tidy(folder, name)
                    return theirs
                if replace is None or replace != found.etag:
                    drop(folder, state)
                    raise taken(key, self.where)
            temporary, descriptor = self._open_temporary(key, folder, name, source, metadata, state)
            try:
                try:
                    self.require_room(source.size - min(os.fstat(descriptor).st_size, source.size))
                    start = equal_prefix(descriptor, source)
                    tree, sent = copy(descriptor, source, start, f"{key} in {self.where}", progress)
                finally:
                    os.close(descriptor)
                if not self._place(key, folder, temporary, name, found, metadata):
                    # Somebody else wrote this key meanwhile.
                    now = look(folder, name)
                    theirs = self._adopt(key, folder, name, now, source, same) if isinstance(now, Present) else None
                    if theirs is None:
                        raise taken(key, self.where)
                    return theirs
            except BaseException as error:
                # Only what can be gone on with stays.
                useless = isinstance(error, (SourceChanged, WrongBytes, KeyTaken, NoSpace))
                if useless or state.upload_id is None:
                    drop(folder, state, temporary)
                raise
            os.fsync(folder)
            drop(folder, state, temporary)
            self._tidy(folder, name)
            stored = present(folder, name)
            return achieved(key, None, stored, adopted=False, sha256_tree=tree, sent=sent)

    def get(
        self, key: str, offset: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """The file's bytes from `offset` on. `version_id` must be None: a folder has no versions."""
        if version_id is not None:
            raise NotFound(f"{key} in {self.where}: a folder keeps no versions")
        try:
            with self._parent(key) as (folder, name):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            self._require_root()
            raise NotFound(f"{key} in {self.where} does not exist") from None
        except OSError as error:
            raise unreadable(error, f"{key} in {self.where}") from error
        try:
            end = os.fstat(descriptor).st_size if length is None else offset + length
            while offset < end:
                try:
                    piece = os.pread(descriptor, min(MIB, end - offset), offset)
                except OSError as error:
                    raise unreadable(error, f"{key} in {self.where}") from error
                if not piece:
                    raise WrongBytes(f"{key} in {self.where} is shorter than {end} bytes: verify it")
                offset += len(piece)
                yield piece
        finally:
            os.close(descriptor)

    def require_mounted(self) -> None:
        """Raise BucketMissing for a root with nothing in it: a mount point where nothing is mounted looks like that."""
        self._require_root()
        with os.scandir(self.root) as entries:
            if next(entries, None) is None:
                raise BucketMissing(
                    f"{self.where} is empty, though copies were put there: mount it, then run again (if it is a new "
                    "one, make a file in it first)"
                )

    def require_room(self, size: int) -> None:
        """Raise NoSpace unless `size` more bytes fit."""
        require_space(self.root, size, what=f"a copy to destination {self.name}")

    def abort_unfinished(self, key: str) -> int:
        """Remove the temporary files that interrupted puts of `key` have left."""
        self._require_root()
        try:
            with self._parent(key) as (folder, name):
                return self._tidy(folder, name)
        except FileNotFoundError:
            return 0

    # --- opening ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _parent(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder of `key` and the file's name in it. Folders made here get the group and the mode."""
        *folders, name = parts_of(key)
        current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in folders:
                if make:
                    self._make_folder(part, current)
                try:
                    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        raise BadKey(f"{key} in {self.where}: '{part}' is a link or a file, not a folder") from None
                    raise
                os.close(current)
                current = below
            yield current, name
        finally:
            os.close(current)

    def _make_folder(self, name: str, parent: int) -> None:
        try:
            os.mkdir(name, CLOSED, dir_fd=parent)
            new = True
        except FileExistsError:
            new = False
        try:
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError:
            if new:
                raise
            return  # what stands there is no folder: said by whoever wants to go into it
        try:
            if new or left_closed(made):
                settle(made, self._folder_mode, self._gid)
                os.fsync(parent)
        finally:
            os.close(made)

    def _listed_below(self, folder: Path, base: str, prefix: str) -> Iterator[Listed]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            key = base + entry.name
            if entry.is_dir(follow_symlinks=False):
                if f"{key}/".startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._listed_below(folder / entry.name, f"{key}/", prefix)
            elif entry.is_file(follow_symlinks=False) and key.startswith(prefix) and not is_temporary(entry.name):
                with suppress(FileNotFoundError):  # moved away since the folder was read
                    status = entry.stat(follow_symlinks=False)
                    yield Listed(key, status.st_size, etag_of(status))

    # --- copying ------------------------------------------------------------------------------------------------------

    def _open_temporary(
        self, key: str, folder: int, name: str, source: Source, metadata: Mapping[str, str], state: UploadState
    ) -> tuple[str, int]:
        """The temporary file's name and its open descriptor: the one that `state` names, or a new one."""
        digest = hashlib.sha256(canonical([str(self.root), key, source.size, dict(metadata)])).hexdigest()
        if state.upload_id is not None and state.digest == digest:
            with suppress(FileNotFoundError):
                flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(state.upload_id, flags, dir_fd=folder)
                settle(descriptor, self._file_mode, self._gid)
                return state.upload_id, descriptor
        drop(folder, state)
        temporary = f".{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        if source.size > RESUMABLE:
            state.begin(temporary, PIECE, digest)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        settle(descriptor, self._file_mode, self._gid)
        return temporary, descriptor

    def _place(
        self,
        key: str,
        folder: int,
        temporary: str,
        name: str,
        found: Present | Absent,
        metadata: Mapping[str, str],
    ) -> bool:
        """Give the finished file its name; False if another has the name, or this one has vanished, meanwhile."""
        if isinstance(found, Absent):
            try:
                rename_without_overwriting(folder, temporary, folder, name)
            except (FileExistsError, FileNotFoundError):
                return False
            return True
        if look(folder, name) != found:
            return False
        generation = metadata.get("ecogvault-generation")
        if generation is None:
            raise BadKey(f"{key} in {self.where} cannot be replaced: its generation is not given")
        try:
            self._put_aside(key, folder, name, f"{SUPERSEDED}/g{generation}")
            rename_without_overwriting(folder, temporary, folder, name)
        except (FileExistsError, FileNotFoundError):
            return False
        return True

    def _put_aside(self, key: str, folder: int, name: str, place: str) -> None:
        """Move a file below `place`, or `place`.2, `place`.3 and so on: the first that has none of its key."""
        for number in count(1):
            below = place if number == 1 else f"{place}.{number}"
            with self._parent(f"{below}/{key}", make=True) as (old_folder, old_name):
                try:
                    rename_without_overwriting(folder, name, old_folder, old_name)
                except FileExistsError:
                    continue
                os.fsync(old_folder)
                return

    def _adopt(
        self,
        key: str,
        folder: int,
        name: str,
        found: Present,
        source: Source,
        same: Callable[[Present], bool] | None,
    ) -> Stored | None:
        if same is not None:
            return achieved(key, None, found, adopted=True) if same(found) else None
        if found.size != source.size:
            return None
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            tree = tree_if_equal(descriptor, source)
        finally:
            os.close(descriptor)
        return None if tree is None else achieved(key, None, found, adopted=True, sha256_tree=tree)

    def _tidy(self, folder: int, name: str) -> int:
        left = [entry for entry in os.listdir(folder) if is_temporary(entry) and entry.startswith(f".{name}.")]
        left = [entry for entry in left if len(entry) == len(f".{name}.12345678{TEMPORARY_SUFFIX}")]
        for entry in left:
            with suppress(FileNotFoundError):
                os.unlink(entry, dir_fd=folder)
        return len(left)
