"""One file out of a large sealed tarball at a real server, and what that costs, counted between here and the server."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from archive_lab import ArchiveLab
from azure.storage.blob import BlobServiceClient

from ecogvault import restore
from ecogvault.config import check
from ecogvault.manifest import sha256_of
from ecogvault.naming import Unit
from ecogvault.retrieve import restore_asked
from ecogvault.sandbox.servers import running
from relay import relaying
from vaults import HOUR, VaultServer

MIB = 1024 * 1024
WANTED = 30 * MIB


class LargeTarball:
    """A session folder of `clips` clips of 30 MiB and small files, sealed, at `s3`, `azure` and `glacier`."""

    def __init__(self, folder: Path, clips: int, services: Any) -> None:
        self.services, self.vaults = services, VaultServer.of(services)
        self.lab = ArchiveLab(folder, {"nas": {"form": "tarball"}})
        self.unit: Unit = self.lab.units[0]
        raw = next(path for path in self.lab.raw.iterdir() if path.name.endswith("x1"))
        for number in range(3, 3 + clips):
            (raw / f"{raw.name}_{number:04d}.avi").write_bytes(random.Random(number).randbytes(WANTED))
        self.path = f"vid/{self.unit.session}/{self.unit.session}_{3 + clips // 2:04d}.avi"
        endpoint, region = services.s3["endpoint_url"], services.s3["region"]
        boto3.client("s3", endpoint_url=endpoint, region_name=region).create_bucket(Bucket="large")
        with BlobServiceClient.from_connection_string(services.azure["connection_string"]) as client:
            client.create_container("large")
        self.vault = self.vaults.vault()
        self.use()
        self.lab.prints = self.lab.frozen()
        self.lab.make(self.unit)
        for name in ("s3", "azure", "glacier"):
            self.lab.upload(self.unit, name)

    def use(self, relayed: str | None = None, address: str = "") -> None:
        """Have the destinations where they are, but for one that is at another address."""
        at = {name: getattr(self.services, name)["endpoint_url"] for name in ("s3", "glacier")}
        at["azure"] = self.services.azure["account_url"]
        if relayed:
            at[relayed] = address + urlsplit(at[relayed]).path
        place = {"zone": "outside", "form": "tarball"}
        vault = {"vault": self.vault, "endpoint_url": at["glacier"], "part_size_mib": 16}
        destinations = {
            "s3": {"type": "s3", "bucket": "large", "region": self.services.s3["region"], **place},
            "azure": {"type": "azure", "container": "large", "account_url": at["azure"], **place},
            "glacier": {"type": "glacier", "region": self.services.glacier["region"], **vault, **place},
        }
        destinations["s3"]["endpoint_url"] = at["s3"]
        self.lab.config = check({**self.lab.config.values, "destinations": destinations})

    @property
    def size(self) -> int:
        """Of the sealed tarball, in bytes."""
        return self.lab.paths.sealed(self.unit).stat().st_size

    def cost(self, name: str) -> int:
        """Restore the one clip from a destination; how many bytes its server gave for it, heads of answers too."""
        address = (
            self.services.azure["account_url"] if name == "azure" else getattr(self.services, name)["endpoint_url"]
        )
        with relaying(address) as relay:
            self.use(name, relay.endpoint_url)
            if name == "glacier":
                self._over_hours()
            else:
                record = self.lab.paths.restored_record(name, self.unit, self.path)
                restore.restore_file(self.lab.config, self.unit, name, self.path, record)
            self.use()
        self._demand(name)
        return relay.given

    def _over_hours(self) -> None:
        asked = {"from": "glacier", "file": self.path.removeprefix("vid/")}
        for _ in range(4):
            said: list[str] = []
            restore_asked(check({**self.lab.config.values, **asked}), say=said.append)
            if not any("waiting" in line for line in said):
                return
            self.vaults.pass_time(6 * HOUR)

    def _demand(self, name: str) -> None:
        """The clip is there, whole, and alone."""
        folder = self.lab.paths.restored / name / str(self.unit)
        assert [path for path in folder.rglob("*") if path.is_file()] == [folder / self.path]
        assert sha256_of(folder / self.path) == sha256_of(self.lab.paths.subject(self.unit.code) / self.path)


@contextmanager
def large_tarball(folder: Path, clips: int) -> Iterator[LargeTarball]:
    """One, in `folder`, with servers of its own."""
    with (
        running(folder / "sandbox", only=["s3", "azure", "glacier"]) as services,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", services.s3["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", services.s3["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", services.azure["connection_string"])
        patch.chdir(folder)
        yield LargeTarball(folder, clips, services)
