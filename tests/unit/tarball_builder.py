"""Small trees, sealed, for the tests of sealing and opening."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.age import generate
from ecogvault.manifest import Manifest, entry_of
from ecogvault.records import FIRST
from ecogvault.tarball import Digests, seal

UNIT = "df5c5206_3_vid"
KEY = generate(classic=True)
MTIME = 1_700_000_000


def tree(root: Path, files: Mapping[str, bytes]) -> Manifest:
    """Write `files` below `root`; the manifest of them."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return Manifest.of(entry_of(root, path) for path in files)


def outputs(folder: Path) -> dict[str, Path]:
    """Where sealed things go."""
    return {
        "tarball": folder / "x.tar.zst.age",
        "index": folder / "x.index.json",
        "statement": folder / "x.statement.json",
    }


def sealed(folder: Path, manifest: Manifest, root: Path, **more: Any) -> Digests:
    """Seal `manifest` into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "root": root,
        "unit": UNIT,
        "recipients": [KEY.recipient()],
        "generation": 1,
        "previous_statement_sha256": FIRST,
        "signing_key": folder.parent / "signing.key",
        "mtime": MTIME,
        **outputs(folder),
        **more,
    }
    return seal(manifest, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below `folder`, hidden and temporary ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
