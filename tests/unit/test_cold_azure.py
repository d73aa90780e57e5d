"""Restores from Azure's Archive tier: by scripted answers over hours, and on Azurite, which brings back at once."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_lab import ArchiveLab
from azure.storage.blob import BlobServiceClient

from cold_front import ColdFront, cold_front
from ecogvault.config import check
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.restore import restore_unit
from ecogvault.retrieve import NotAllRestored, restore_asked
from ecogvault.sandbox.servers import Services, running
from ecogvault.stores import open_store
from ecogvault.stores.azure import AzureStore
from ecogvault.stores.errors import Archived

pytestmark = pytest.mark.xdist_group("azure")


class AzureLab(ArchiveLab):
    """Unit 1 at `azure`, a sealed tarball in tier Archive, behind the front."""

    def __init__(self, folder: Path, services: Services, front: ColdFront) -> None:
        super().__init__(folder)
        self.front, self.services = front, services
        with BlobServiceClient.from_connection_string(services.azure["connection_string"]) as client:
            client.create_container("cold")
        self.unit: Unit = self.units[0]
        self.account = services.azure["account_url"].rpartition("/")[2]
        self.at(front.endpoint_url)
        self.make(self.unit)
        self.upload(self.unit, "azure")

    def at(self, address: str) -> None:
        """Have Azure at an address."""
        place = {"type": "azure", "zone": "outside", "form": "tarball", "container": "cold", "tier": "Archive"}
        place["account_url"] = f"{address}/{self.account}"
        self.config = check({**self.config.values, "destinations": {"azure": place}})

    def session(self, name: str, *args: Any, **more: Any) -> Path:
        """A session folder whose tarball is not too small to be archived."""
        folder = super().session(name, *args, **more)
        (folder / f"{folder.name}_0003.avi").write_bytes(random.Random(name).randbytes(300_000))
        return folder

    def ask(self, **more: Any) -> list[str]:
        said: list[str] = []
        given = {"unit": str(self.unit), "from": "azure", **more}
        try:
            restore_asked(check({**self.config.values, **given}), say=said.append)
        except NotAllRestored as error:
            said.append(f"FAILED {error}")
        return said

    @property
    def blob(self) -> str:
        (found,) = self.front.objects
        return found

    def assert_restored(self) -> None:
        folder = self.paths.restored_record("azure", self.unit).parent / str(self.unit)
        for entry in Manifest.read(self.paths.manifest(self.unit)):
            assert sha256_of(folder / entry.path) == (entry.size, entry.sha256)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("sandbox"), ["azure"]) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", found.azure["connection_string"])
        yield found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[AzureLab]:
    folder = tmp_path_factory.mktemp("lab")
    server = services.azure["account_url"].rpartition("/")[0]
    with cold_front(server, azure=True) as front, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield AzureLab(folder, services, front)


def test_a_blob_is_asked_for_once_in_a_priority_waited_for_and_restored(lab: AzureLab) -> None:
    with pytest.raises(Archived, match="with tier=Standard has it brought back"):
        restore_unit(lab.config, lab.unit, "azure", lab.paths.restored_record("azure", lab.unit))
    said = lab.ask(tier="Expedited")
    assert "asked of container cold (Expedited): an object comes back whole, and stays in tier Hot" in said[0]
    assert said[1].startswith(f"azure: waiting for {lab.unit}: run `snakemake --cores 1 restore --config unit=")
    assert lab.front.objects[lab.blob].tier == "High"
    lab.front.pass_hours(0.9)
    (line,) = lab.ask(tier="Expedited")
    assert line == said[1]
    with pytest.raises(Archived, match="is being brought back"):
        b"".join(open_store(lab.config.destinations["azure"], "vid").get(lab.blob.partition("/cold/")[2], 0, 5))
    lab.front.pass_hours(0.2)
    (line,) = lab.ask(tier="Expedited")
    assert "restored and equal to their manifest" in line
    lab.assert_restored()
    assert lab.front.asked[lab.blob] == 1


def test_azurite_itself_brings_back_at_once(lab: AzureLab, services: Services) -> None:
    lab.at(services.azure["account_url"].rpartition("/")[0])
    lab.paths.restored_record("azure", lab.unit).unlink(missing_ok=True)
    key = lab.blob.partition("/cold/")[2]
    with BlobServiceClient.from_connection_string(services.azure["connection_string"]) as client:
        blob = client.get_blob_client("cold", key)
        blob.set_standard_blob_tier("Archive")
        store = open_store(lab.config.destinations["azure"], "vid")
        assert isinstance(store, AzureStore)
        assert store.readiness(key, None).state == "archived"
        assert "asked of container cold (Bulk)" in lab.ask(tier="Bulk")[0]
        assert blob.get_blob_properties().blob_tier == "Hot"
    assert store.readiness(key, None).state == "here"
    assert "restored and equal" in lab.ask()[0]
    lab.assert_restored()
