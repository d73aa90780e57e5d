"""A lab whose three units, one of each kind, lie at each type of destination in each form; restored in this process.

What is archived is made by the real Snakemake, once; copies are sent and come back through the library, which is what
the rules' scripts call. Buckets keep no versions, so that what a test spoils is what a restore gets.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from clouds import AzureAccount
from lab import Lab, azure_destination, make_lab

from ecogvault import archive, restore
from ecogvault.config import Config
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.private import open_private
from ecogvault.restore import asked
from ecogvault.sandbox.servers import Services, running
from vaults import VaultServer

FORMS: dict[str, dict[str, Any]] = {
    "plain": {"form": "files", "zone": "inside"},
    "crypt": {"form": "files", "zone": "outside", "encrypt": True},
    "tar": {"form": "tarball", "zone": "outside"},
}
TYPES = ("s3", "azure", "nas")
PLACES = tuple(f"{place}{form}" for place in TYPES for form in FORMS)
KINDS = ("edf", "vid", "sync")
VAULT = "vault"


class Everywhere:
    """`lab` at `PLACES` and, in a vault, at `VAULT`. `wanted` is the content of each unit by path in its manifest."""

    def __init__(self, lab: Lab, services: Services, vaults: VaultServer) -> None:
        self.lab, self.services, self.vaults = lab, services, vaults
        self.config, self.client = lab.config, lab.client
        self.units = {unit.kind: unit for unit in lab.units()}
        self.wanted: dict[Unit, dict[str, bytes]] = {}
        for unit in self.units.values():
            listed = Manifest.read(lab.paths.manifest(unit))
            self.wanted[unit] = {one.path: (lab.paths.subject(unit.code) / one.path).read_bytes() for one in listed}
            for name in (*PLACES, VAULT):
                self._upload(unit, name)

    def _upload(self, unit: Unit, name: str) -> None:
        paths = self.lab.paths
        archive.upload_unit(
            self.config,
            open_private(self.config),
            unit,
            name,
            manifest=paths.manifest(unit),
            verdict=paths.verdict(unit),
            receipt=paths.receipt(name, unit),
        )

    # --- restores -----------------------------------------------------------------------------------------------------

    def settings(self, restored: Path, **given: Any) -> Config:
        """The configuration, restores going below `restored`, with what is given by `--config`."""
        return Config({**self.config.values, "restored": str(restored), **given})

    def through(self, address: str, restored: Path) -> Config:
        """The configuration in which S3 and Azure are at another address, that of a proxy."""
        destinations = {}
        for name, one in self.lab.settings["destinations"].items():
            here = dict(one)
            if name.startswith("s3"):
                here["endpoint_url"] = address
            if name.startswith("azure"):
                here["account_url"] = address + urlsplit(one["account_url"]).path
            destinations[name] = here
        return self.settings(restored, destinations=destinations)

    def restore(self, config: Config, name: str, **given: Any) -> list[Unit]:
        """What `snakemake restore --config ...` does with what is given; the units of which something came."""
        found, lacking = asked.wanted(Config({**config.values, "from": name, **given}))
        assert lacking == []
        for one in found:
            record = Path(config["restored"]) / name / (f"{one.unit}.file.json" if one.path else f"{one.unit}.json")
            if one.path:
                restore.restore_file(config, one.unit, name, one.path, record)
            else:
                restore.restore_unit(config, one.unit, name, record)
        return [one.unit for one in found]

    def there(self, restored: Path, name: str, unit: Unit) -> dict[str, bytes]:
        """What lies under final names, by path in the manifest; half-written files have other names.

        A tarball's own list and its explanation, which come with a whole unit, are left out.
        """
        folder = restored / name / str(unit)
        files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        return {path: data for path, data in found.items() if path not in ("MANIFEST.tsv", "HOW-TO-OPEN.txt")}

    def demand_nothing_wrong(self, restored: Path, name: str, unit: Unit) -> None:
        """Nothing under a final name is other than what was archived."""
        there = self.there(restored, name, unit)
        assert there.items() <= self.wanted[unit].items(), sorted(there)

    def demand_whole(self, restored: Path, name: str, unit: Unit) -> None:
        """The unit is there, whole, 0600 in folders of 0700, and nothing half-written is."""
        assert self.there(restored, name, unit) == self.wanted[unit]
        folder = restored / name / str(unit)
        for path in (folder, *folder.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
        left = [path.name for path in (restored / name).rglob(".*") if path.suffix != ".lock"]
        assert left == []

    def forget(self, restored: Path, name: str, unit: Unit, key: str) -> None:
        """Have a restore need the object under `key` again: its file goes, or all of the unit where it is no file's."""
        (restored / name / f"{unit}.json").unlink(missing_ok=True)
        path = self._path_of(key, unit)
        if path:
            (restored / name / str(unit) / path).unlink(missing_ok=True)
        else:
            shutil.rmtree(restored / name / str(unit), ignore_errors=True)

    # --- objects ------------------------------------------------------------------------------------------------------

    def objects(self, name: str) -> dict[str, bytes]:
        """What a destination holds, by key, but for HOW-TO-OPEN.txt."""
        if name.startswith("nas"):
            root = self.lab.folder / name
            found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        elif name.startswith("s3"):
            found = {key: one.content for key, one in self.lab.objects(f"e-{name}").items()}
        else:
            assert self.lab.azure
            found = {key: one.content for key, one in self.lab.azure.objects(f"e-{name}").items()}
        return {key: data for key, data in found.items() if key != "HOW-TO-OPEN.txt"}

    def unit_of(self, key: str) -> Unit:
        """The unit that an object belongs to: by its own name, or by that of a file."""
        return next(one for one in self.wanted if f"/{one}.g" in key or self._path_of(key, one))

    def _path_of(self, key: str, unit: Unit) -> str | None:
        """The path in the manifest of the file that an object holds, if it holds one."""
        plain = key.removesuffix(".age")
        ends = {path: path if unit.kind == "sync" else path.partition("/")[2] for path in self.wanted[unit]}
        return next((path for path, end in ends.items() if plain.endswith(f"/{end}")), None)

    def put(self, name: str, key: str, data: bytes) -> None:
        """Have other content under a key, as rot or a stranger would."""
        if name.startswith("nas"):
            path = self.lab.folder / name / key
            path.chmod(0o600)
            path.write_bytes(data)
        elif name.startswith("s3"):
            self.client.put_object(Bucket=f"e-{name}", Key=key, Body=data)
        else:
            assert self.lab.azure
            self.lab.azure.container(f"e-{name}").upload_blob(key, data, overwrite=True)


def destinations(lab: Lab, services: Services, vault: str) -> dict[str, dict[str, Any]]:
    """Each type in each form, and the vault."""
    assert lab.azure
    found: dict[str, dict[str, Any]] = {}
    for form, settings in FORMS.items():
        s3 = {"type": "s3", "region": services.s3["region"], "endpoint_url": services.s3["endpoint_url"]}
        lab.client.create_bucket(Bucket=f"e-s3{form}")
        found[f"s3{form}"] = {**s3, "bucket": f"e-s3{form}", **settings}
        found[f"azure{form}"] = azure_destination(lab.azure, f"e-azure{form}", **settings)
        (lab.folder / f"nas{form}").mkdir()
        found[f"nas{form}"] = {"type": "folder", "path": str(lab.folder / f"nas{form}"), **settings}
    place = {"type": "glacier", "zone": "outside", "form": "tarball", "region": services.glacier["region"]}
    found[VAULT] = {**place, "vault": vault, "endpoint_url": services.glacier["endpoint_url"], "part_size_mib": 1}
    return found


@contextmanager
def everywhere(folder: Path) -> Iterator[Everywhere]:
    """All of it in `folder`, with servers of its own."""
    folder.mkdir()
    with (
        running(folder / "sandbox", only=["s3", "azure", "glacier"]) as services,
        pytest.MonkeyPatch.context() as patch,
    ):
        lab = make_lab(folder / "lab", services.s3, prefix="e")
        lab.azure = AzureAccount(services.azure)
        patch.setenv("AWS_ACCESS_KEY_ID", services.s3["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", services.s3["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", services.azure["connection_string"])
        vaults = VaultServer.of(services)
        lab.configure(destinations=destinations(lab, services, vaults.vault()))
        lab.snakemake("deidentify", "seal")
        yield Everywhere(lab, services, vaults)
        assert lab.half_written() == []
