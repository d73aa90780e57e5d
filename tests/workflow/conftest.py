"""Labs for the workflow tests.

`lab` is new, not yet run; `make` makes one with other settings. `archived_lab` has been through the whole line: two
sessions of one person at three destinations. It is run once per worker and copied, with the S3 server's data, for each
test that asks for it: such a test costs what it runs, and may change whatever it likes.
"""

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("lab", "leaks")

from lab import Lab, make_lab  # noqa: E402

from ecogvault.sandbox.export import Export  # noqa: E402
from ecogvault.sandbox.servers import Services, running  # noqa: E402
from vaults import VaultServer  # noqa: E402


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The servers of all labs of this worker."""
    with running(tmp_path_factory.mktemp("sandbox"), only=["s3", "glacier"]) as services:
        yield services


@pytest.fixture(scope="session")
def s3_server(services: Services) -> dict[str, Any]:
    """Details of an S3 server for all labs of this worker; each has buckets of its own."""
    return services.s3


@pytest.fixture(scope="session")
def vaults(services: Services) -> VaultServer:
    """The vault service for all labs of this worker, whose clock the tests move."""
    return VaultServer.of(services)


@pytest.fixture
def make(s3_server: dict[str, Any], tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Makes labs: `make(people=..., sessions=..., nfd=True)`, as lab.make_lab has it. All are checked at the end."""
    labs: list[Lab] = []

    def made(**settings: Any) -> Lab:
        name = f"lab{len(labs) + 1}"
        labs.append(make_lab(tmp_path / name, s3_server, prefix=f"t-{uuid.uuid4().hex[:12]}", **settings))
        return labs[-1]

    yield made
    for lab in labs:
        lab.end()
    for lab in labs:
        lab.check()


@pytest.fixture
def lab(make: Callable[..., Lab]) -> Lab:
    """A new lab: one session of one person, registered, nothing run."""
    return make()


@dataclass(frozen=True)
class _Archive:
    """A lab that was run and then stopped: where it is kept, where it must lie to be used, and what it was made of."""

    kept: Path
    live: Path
    export: Export
    settings: dict[str, Any]


@pytest.fixture(scope="session")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> _Archive:
    root = tmp_path_factory.mktemp("archived")
    kept, live = root / "kept", root / "live"
    live.mkdir()
    with running(live / "sandbox", only=["s3", "glacier"]) as services:
        lab = make_lab(live / "lab", services.s3, prefix="lab", sessions=2)
        lab.snakemake()
        lab.check()
    live.rename(kept)
    return _Archive(kept, live, lab.export, lab.settings)


@pytest.fixture
def archived_lab(_archive: _Archive) -> Iterator[Lab]:
    """A copy of a lab in which everything is archived, at the path at which it was (raw paths are absolute).

    Units of its one person: 1_edf, 1_vid, 1_sync, 2_vid, 2_sync, all of generation 1, all at `s3`, `deep` and `nas`.
    It has a server of its own with the buckets lab-vid, lab-edf and lab-deep.
    """
    shutil.rmtree(_archive.live, ignore_errors=True)
    subprocess.run(["cp", "-a", _archive.kept, _archive.live], check=True)
    with running(_archive.live / "sandbox", only=["s3", "glacier"]) as services:
        lab = Lab(_archive.live / "lab", services.s3, _archive.export, deepcopy(_archive.settings))
        for destination in lab.settings["destinations"].values():
            if destination["type"] == "s3":
                destination["endpoint_url"] = services.s3["endpoint_url"]
        lab.configure()
        lab.note_raw()
        try:
            yield lab
        finally:
            lab.end()
        lab.check()
