"""A lab with one destination, a vault on the local service, whose clock the tests move. All names made up."""

import random
import shutil
from pathlib import Path
from typing import Any

from archive_lab import ArchiveLab

from ecogvault import verify
from ecogvault.config import check
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.retrieve import NotAllRestored, restore_asked
from vaults import DAY, HOUR, VaultServer

GIVEN = ("glacier_wait_hours", "tier", "unit", "subject", "from", "file", "max_cost")


class VaultLab(ArchiveLab):
    """Sessions 1 and 2 of one person; destination `glacier`, one new vault."""

    def __init__(self, folder: Path, server: VaultServer) -> None:
        super().__init__(folder)
        self.server = server
        self.renew()
        for unit in self.units:
            self.make(unit)

    def session(self, name: str, *args: Any, **more: Any) -> Path:
        """A session folder; the first one has a clip with zstd frames of its own, and a tarball of several parts."""
        folder = super().session(name, *args, **more)
        if name.endswith("x1"):
            clip = random.Random(1).randbytes(9 * 1024 * 1024)
            (folder / f"{folder.name}_0003.avi").write_bytes(clip)
        return folder

    def renew(self) -> None:
        """Another, empty vault, and nothing known of any."""
        self.vault = self.server.vault()
        self.server.order(reset=True, faults=[], skew=0)
        destination = {
            "type": "glacier",
            "zone": "outside",
            "form": "tarball",
            "vault": self.vault,
            "region": "us-west-2",
            "endpoint_url": self.server.details["endpoint_url"],
            "part_size_mib": 1,
        }
        kept = {name: value for name, value in self.config.values.items() if name not in GIVEN}
        self.config = check({**kept, "destinations": {"glacier": destination}})
        for pattern in ("*/ledger", "*/transfer", "*/receipts", "*/vault", "inventory", "registry"):
            for found in self.paths.results.glob(pattern):
                shutil.rmtree(found)
        for found in (self.paths.private / "transfer", self.paths.restored):
            shutil.rmtree(found, ignore_errors=True)

    def with_settings(self, **more: Any) -> None:
        """Change the configuration, as `--config` does."""
        self.config = check({**self.config.values, **more})

    def store(self, unit: Unit | None = None) -> None:
        """Upload one unit, or both."""
        for one in self.units if unit is None else [unit]:
            self.upload(one, "glacier")

    def verify(self) -> str:
        """The line that verify says of the vault; a failure is part of it."""
        said: list[str] = []
        try:
            verify.verify(self.config, say=said.append)
        except verify.CopiesAreWrong as error:
            said.append(f"FAILED {error}")
        return "\n".join(said)

    def object(self, unit: Unit, generation: int = 1) -> dict[str, Any]:
        """The archive of a unit as the ledger has it."""
        (one,) = self.copies(unit, "glacier")[generation].objects
        return dict(one)

    def evidence(self, unit: Unit) -> str | None:
        return self.copies(unit, "glacier")[1].evidence

    def requests(self, operation: str) -> int:
        return self.server.counts().get(operation, 0)

    def inventoried(self) -> str:
        """Let a day pass, and have the inventory come; what verify says of it."""
        self.server.pass_time(DAY)
        self.verify()
        self.server.pass_time(6 * HOUR)
        return self.verify()

    def ask(self, unit: Unit | None = None, **more: object) -> list[str]:
        """What a restore of a unit, of one `file`, or of all says; a failure is its last line."""
        self.with_settings(**({"unit": str(unit)} if unit else {"subject": self.code}), **{"from": "glacier"}, **more)
        said: list[str] = []
        try:
            restore_asked(self.config, say=said.append)
        except NotAllRestored as error:
            said.append(f"FAILED {error}")
        return said

    def assert_restored(self, unit: Unit) -> None:
        """That every file of a unit is back as its manifest says, and that the ledger knows."""
        folder = self.paths.restored_record("glacier", unit).parent / str(unit)
        for entry in Manifest.read(self.paths.manifest(unit)):
            assert sha256_of(folder / entry.path) == (entry.size, entry.sha256)
        assert self.evidence(unit) == "restored"
