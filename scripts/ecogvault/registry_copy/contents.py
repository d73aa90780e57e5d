"""What of the private folder goes along, and a picture of it that stays as it is while other jobs go on.

Left out: `audit.jsonl` and `transfer/`, locks and temporary files, every secret key (the signing key, age identities
and their passphrase file, whatever they are called), and what is no plain file or has a name that is not printable
ASCII.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ecogvault.audit import FILE as AUDIT_FILE
from ecogvault.config import Config
from ecogvault.files import TEMPORARY_SUFFIX
from ecogvault.intake.assignment import subject_lock
from ecogvault.manifest import Entry, Manifest, is_safe
from ecogvault.naming import CODE_PATTERN
from ecogvault.private import Private
from ecogvault.tarball.seal import HOW_TO_NAME, MANIFEST_NAME

_CHUNK = 1024 * 1024
_HEAD = 64 * 1024
_LEFT_OUT = frozenset({AUDIT_FILE, "transfer", "signing.key", MANIFEST_NAME, HOW_TO_NAME})
# An age identity in the clear, the file of one that has a passphrase (age writes both forms), and a PEM private key.
_SECRET = re.compile(
    rb"AGE-SECRET-KEY-|\Aage-encryption\.org/|\A-----BEGIN AGE ENCRYPTED FILE|-----BEGIN [A-Z ]*PRIVATE KEY"
)


@dataclass(frozen=True)
class Snapshot:
    """A picture of the private folder: its manifest, with paths relative to it, and how many other things it holds."""

    manifest: Manifest
    strange: int


def snapshot(config: Config, private: Private, folder: Path) -> Snapshot:
    """Copy what goes along below `folder`, which is made anew (0700, files 0600). Raises OSError as it comes.

    The registry's tables are copied under the registry's lock, and each subject's under theirs.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    secrets = secret_files(config)
    entries: list[Entry] = []
    strange = 0
    for top in sorted(os.listdir(private.root)):
        if top in _LEFT_OUT:
            continue
        with _lock(private, top):
            for relative in _files(private.root, top):
                if _is_ours_alone(relative):
                    continue
                source = private.root / relative
                if not goes_along(source, relative, secrets):
                    strange += 1
                    continue
                entries.append(_copy(source, folder, relative))
    return Snapshot(Manifest.of(entries), strange)


def secret_files(config: Config) -> frozenset[Path]:
    """The files that the configuration names as secret, resolved."""
    named = (config.signing_key, config["age_identity"], config["age_passphrase_file"])
    return frozenset(Path(path).resolve() for path in named if path)


def goes_along(path: Path, relative: str, secrets: Collection[Path]) -> bool:
    """Whether a file of the private folder may be in the copy: a plain file, nameable, and no secret key."""
    if not is_safe(relative) or not stat.S_ISREG(path.lstat().st_mode) or path.resolve() in secrets:
        return False
    with open(path, "rb") as stream:
        return _SECRET.search(stream.read(_HEAD)) is None


def _is_ours_alone(relative: str) -> bool:
    """Whether a file is one of this program's that nobody misses: a lock, or one that is just being written."""
    return relative.endswith((".lock", TEMPORARY_SUFFIX))


def _lock(private: Private, top: str) -> AbstractContextManager[None]:
    return subject_lock(private, top) if re.fullmatch(CODE_PATTERN, top) else private.lock()


def _files(root: Path, relative: str) -> Iterator[str]:
    """Everything at or below `relative` that is no folder, in order. Links are not followed."""
    path = root / relative
    if path.is_dir() and not path.is_symlink():
        for name in sorted(os.listdir(path)):
            yield from _files(root, f"{relative}/{name}")
    else:
        yield relative


def _copy(source: Path, folder: Path, relative: str) -> Entry:
    target = folder / relative
    for parent in reversed(target.relative_to(folder).parents):
        (folder / parent).mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(source, "rb") as stream, os.fdopen(descriptor, "wb") as copy:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
            copy.write(piece)
    return Entry(relative, size, digest.hexdigest())
