"""The private folder: everything that links codes to people, and the rules it must keep.

It is 0700 and its files 0600; with `private_group` in the configuration 0750 and 0640, and of that group. Anything
looser is refused, and so is a private folder in a git work tree that git does not ignore. Messages name only what is
named by code or by this program. Source: DESIGN, section 5.
"""

import grp
import hashlib
import hmac
import os
import re
import secrets
import shlex
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ecogvault.config import Config, ConfigError
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import lock, sync_folder, temporary_beside
from ecogvault.naming import CODE_PATTERN, KINDS

KEY_FILE = "hash.key"
KEY_SIZE = 32
SUBJECTS_FILE = "subjects.tsv"

# What may be named in a message: names that this program gives, and codes.
_OWN_NAME = re.compile(
    rf"{CODE_PATTERN}(_[1-9][0-9]*_({'|'.join(KINDS)})\.(tsv|json))?|names|transfer"
    r"|(subjects|raw|sessions|units|waivers|refreshed|settings|accepted|redactions)\.tsv"
    r"|(hash|signing)\.key|(audit|keychecks|statements)\.jsonl|(\.[a-z]+)?\.lock"
)
# Files that must be ignored by git, whether they exist yet or not.
_GIT_PROBES = (SUBJECTS_FILE, "raw.tsv", KEY_FILE, "signing.key", "audit.jsonl", "a0000000/sessions.tsv")


class PrivateRefused(EcogvaultError):
    """The private folder is missing, open to others, or about to be committed; the message says what to run."""


class Modes(TypedDict):
    """How files of the private folder are written: `replacing(path, **private.modes)`."""

    mode: int
    group: int | None


@dataclass(frozen=True)
class Private:
    """A private folder that keeps the rules. `gid` is the private group's, or None when only the owner may read."""

    root: Path
    gid: int | None = None

    @property
    def modes(self) -> Modes:
        """Keyword arguments `mode` and `group` for every write below the private folder."""
        return {"mode": self.file_mode, "group": self.gid}

    @property
    def file_mode(self) -> int:
        """Mode of the files in the private folder."""
        return 0o600 if self.gid is None else 0o640

    @property
    def folder_mode(self) -> int:
        """Mode of the private folder and of the folders in it."""
        return 0o700 if self.gid is None else 0o750

    @property
    def key(self) -> bytes:
        """The 32 secret bytes that key every hash of raw paths, sizes and names.

        Raises PrivateRefused when they are missing (all fingerprints and private ids depend on them, so another key is
        never made in their place), Damaged when they are not 32 bytes, and OSError as it comes.
        """
        try:
            key = (self.root / KEY_FILE).read_bytes()
        except FileNotFoundError:
            raise PrivateRefused(
                f"{self.root / KEY_FILE} is missing: bring it back from a copy of the registry "
                "(every fingerprint depends on it)"
            ) from None
        if len(key) != KEY_SIZE:
            raise Damaged(f"{self.root / KEY_FILE} must be {KEY_SIZE} bytes long: bring it back from a copy")
        return key

    def keyed_hash(self, data: bytes, length: int = 64) -> str:
        """The first `length` (at most 64) hex digits of the HMAC-SHA-256 of `data` under `key`."""
        return hmac.new(self.key, data, hashlib.sha256).hexdigest()[:length]

    def private_id(self, path: bytes | str | Path) -> str:
        """How messages name a raw path: `i` and 8 hex digits of the keyed hash of the path's bytes."""
        return "i" + self.keyed_hash(os.fsencode(path), 8)

    def lock(self, name: str = "registry", *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock of the writers of `name` (a word in lower case). Not reentrant."""
        return lock(self.root / f".{name}.lock", what=f"{self.root} ({name})", wait=wait)

    def folder(self, *parts: str) -> Path:
        """The folder `parts` below the private folder, made with the right mode and group where it is missing."""
        folder = self.root
        for part in parts:
            folder = folder / part
            self.make_folder(folder)
        return folder

    def make_folder(self, folder: Path) -> None:
        """Make one folder below the private folder with the right mode and group, unless it is there."""
        _make_folder(folder, self.folder_mode, self.gid)


def open_private(config: Config, *, create: bool = False) -> Private:
    """The private folder that `config` names, after its rules were checked.

    `create=True`, as for the first registration, makes the folder and its hash key when they are missing.
    Raises PrivateRefused, ConfigError for an unknown `private_group`, and OSError as it comes.
    """
    path = config.private
    private = Private(path, _gid(config["private_group"]))
    if create:
        refuse_unless_ignored(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_folder(path, private.folder_mode, private.gid)
    try:
        _check(private, config["private_group"])
    except FileNotFoundError:
        if path.is_dir():
            raise
        raise PrivateRefused(f"there is no folder {path} yet: `ecogvault register` makes it") from None
    if not create:
        refuse_unless_ignored(path)
    elif not (path / KEY_FILE).exists() and not (path / SUBJECTS_FILE).exists():
        _make_key(private)
    return private


def _gid(group: str | None) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"private_group: this machine has no group '{group}'") from None


def _make_folder(path: Path, mode: int, gid: int | None) -> None:
    """Make one folder; it belongs to the group before the group may enter."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    if gid is not None:
        try:
            os.chown(path, -1, gid)
        except PermissionError:
            raise PrivateRefused(
                f"you are not in the group {grp.getgrgid(gid).gr_name} that private_group names: "
                "ask to be added to it, log in again, then run again"
            ) from None
    path.chmod(mode)


def _make_key(private: Private) -> None:
    """Make the hash key, whole, unless another process was first."""
    path = private.root / KEY_FILE
    temporary = temporary_beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if private.gid is not None:
                os.fchown(stream.fileno(), -1, private.gid)
            os.fchmod(stream.fileno(), private.file_mode)
            stream.write(secrets.token_bytes(KEY_SIZE))
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, never replaces a key that is already in use.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(private.root)


# --- modes ------------------------------------------------------------------------------------------------------------


def _check(private: Private, group: str | None) -> None:
    """Raise PrivateRefused for the first file or folder that others could read."""
    _check_one(private, ".", private.root.stat(), group)
    for relative, status in _walk(private.root):
        _check_one(private, relative, status, group)


def _walk(root: Path, relative: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every file and folder below `root`; what vanishes meanwhile (temporary files of other processes) is left out."""
    with os.scandir(root) as entries:
        for entry in entries:
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            yield relative + entry.name, status
            if entry.is_dir(follow_symlinks=False):
                try:
                    yield from _walk(Path(entry.path), f"{relative}{entry.name}/")
                except FileNotFoundError:
                    continue


def _check_one(private: Private, relative: str, status: os.stat_result, group: str | None) -> None:
    folder = stat.S_ISDIR(status.st_mode)
    mode = stat.S_IMODE(status.st_mode)
    allowed = private.folder_mode if folder else private.file_mode
    what = f"{private.root}" if relative == "." else f"{_nameable(relative)} in {private.root}"
    quoted = shlex.quote(str(private.root))
    if mode & 0o077 & ~allowed:
        advice = f"chmod -R {'go=' if private.gid is None else 'g=rX,o='} {quoted}"
        raise PrivateRefused(f"{what} is open to others (mode {mode:04o}, at most {allowed:04o} is right): {advice}")
    if private.gid is not None and mode & 0o070 and status.st_gid != private.gid:
        raise PrivateRefused(f"{what} is open to another group than {group}: chgrp -R {group} {quoted}")


def _nameable(relative: str) -> str:
    """The path as far as it was named by this program; a file that somebody put there may be called after a person."""
    known: list[str] = []
    for part in relative.split("/"):
        if not _OWN_NAME.fullmatch(part):
            return f"something in {'/'.join(known)}" if known else "a file"
        known.append(part)
    return "/".join(known)


# --- git --------------------------------------------------------------------------------------------------------------


def refuse_unless_ignored(path: Path, probes: Sequence[str] = _GIT_PROBES) -> None:
    """Raise PrivateRefused when files of a folder that exists or will exist could be committed to a git repository.

    Files that are tracked already count as not ignored, as `git check-ignore` has it.
    """
    place = Path(os.path.abspath(path)).resolve()
    if not any((folder / ".git").exists() for folder in (place, *place.parents)):
        return
    start = next(folder for folder in (place, *place.parents) if folder.is_dir())
    files = [os.fsencode(place / probe) for probe in probes]
    # Inside a git hook GIT_DIR and its like point at another repository than the one around the private folder.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", os.fspath(start), "check-ignore", "-z", "--stdin"],
            input=b"\0".join(files),
            capture_output=True,
            check=False,
            env=environment,
        )
    except FileNotFoundError:
        raise PrivateRefused(
            f"{path} lies in a git work tree, and git is not installed to say whether it is ignored: "
            "install git, or set `private` to a folder outside the work tree"
        ) from None
    if answer.returncode not in (0, 1):
        raise PrivateRefused(
            f"git cannot say whether {path} is ignored: see what `git check-ignore -v {path}` says, "
            "or set `private` to a folder outside the work tree"
        )
    if len(answer.stdout.split(b"\0")) - 1 != len(files):
        raise PrivateRefused(
            f"{path} lies in a git work tree and is not ignored: add a line `{path.name}/` to the .gitignore beside it"
            " (and `git rm --cached` what is tracked already)"
        )
