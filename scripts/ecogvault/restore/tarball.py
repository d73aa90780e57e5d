"""A unit, or one of its files, out of a sealed tarball at a destination."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ecogvault import ledger
from ecogvault.age import FileSource
from ecogvault.config import Config
from ecogvault.files import require_space
from ecogvault.keys import identities
from ecogvault.ledger import NothingThere
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.restore.errors import NotWhatWasArchived, StatementOfAnother
from ecogvault.restore.fetch import Progress, RemoteSource, fetched, partial_path
from ecogvault.restore.nothing import no_such_file
from ecogvault.restore.proof import demand_manifest
from ecogvault.stores import Store
from ecogvault.tarball import NoSuchMember, open_sealed_tarball


def restore_tarball(
    config: Config,
    store: Store,
    unit: Unit,
    copy: ledger.Copy,
    statement: dict[str, Any],
    folder: Path,
    prove: Callable[[Manifest], None],
    progress: Progress | None,
) -> None:
    """Fetch the sealed tarball whole, compare its tree hash with the statement, and open it into `folder`.

    Only when `prove` has kept what was found, the tarball goes: until then it need not be fetched again.
    """
    one = copy.tarball(unit)
    key = str(one["key"])
    keys = identities(config)
    partial = partial_path(folder.parent, f"{unit}.g{copy.generation}.tar.zst.age")
    have = partial.stat().st_size if partial.exists() else 0
    require_space(
        folder.parent, max(0, 2 * int(one["size"]) - have), what=f"the sealed tarball of {unit} and its files"
    )
    with fetched(store, key, partial, size=int(one["size"]), version_id=one["version_id"], progress=progress) as (
        stream,
        sha256_tree,
    ):
        if sha256_tree != statement["sha256_tree"]:
            if sha256_tree == one["sha256_tree"]:
                raise StatementOfAnother(f"the statement beside {key} at {store.name} describes another tarball")
            raise NotWhatWasArchived(f"{key} from {store.name} is not the object that its signed statement describes")
        source = FileSource(stream.fileno())
        opened = open_sealed_tarball(source, keys, folder.parent, expect_unit=str(unit), threads=2)
        demand_manifest(opened.manifest, statement, unit, store.name)
        prove(opened.manifest)


def restore_members(
    config: Config,
    store: Store,
    unit: Unit,
    copy: ledger.Copy,
    statement: dict[str, Any],
    folder: Path,
    members: Sequence[str],
    progress: Progress | None,
) -> Manifest:
    """Files by their paths in the manifest: only header, index, manifest and their own frames are fetched."""
    one = copy.tarball(unit)
    key = str(one["key"])
    source = RemoteSource(store, key, int(one["size"]), one["version_id"])
    try:
        opened = open_sealed_tarball(
            source,
            identities(config),
            folder.parent,
            members=members,
            expect_unit=str(unit),
            expect_manifest=statement["manifest_sha256"],
            threads=2,
            progress=progress,
        )
    except NoSuchMember:
        raise NothingThere(no_such_file(config, unit, members[0])) from None
    return opened.manifest
