"""Restores from S3's archive classes: asked for, followed over days, and what ended asked for again. Names made up."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from archive_lab import ArchiveLab
from botocore.config import Config as ClientConfig

from cold_front import Archived, ColdFront, cold_front
from ecogvault.config import check
from ecogvault.estate import later
from ecogvault.estate.adopt import adopt
from ecogvault.ledger import NothingThere
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.restore.asked import wanted
from ecogvault.retrieve import NotAllRestored, restore_asked
from ecogvault.sandbox.servers import running
from ecogvault.stores.s3_thaw import readiness_of
from ecogvault.vault.waiting import parsed
from legacy_builder import AVI, PASSWORD, encrypted

GIVEN = ("tier", "days", "unit", "subject", "from", "file", "max_cost")


class ColdLab(ArchiveLab):
    """Both units at `deep` (tarballs, DEEP_ARCHIVE) and `cool` (files, encrypted, GLACIER), behind the front."""

    def __init__(self, folder: Path, front: ColdFront, client: Any) -> None:
        super().__init__(folder)
        self.front, self.client = front, client
        where = {"type": "s3", "zone": "outside", "region": "us-east-1", "endpoint_url": front.endpoint_url}
        for name in ("cold-deep", "cold-cool"):
            client.create_bucket(Bucket=name)
        deep = {**where, "form": "tarball", "bucket": "cold-deep", "storage_class": "DEEP_ARCHIVE"}
        cool = {**where, "form": "files", "encrypt": True, "bucket": "cold-cool", "storage_class": "GLACIER"}
        self.config = check({**self.config.values, "destinations": {"deep": deep, "cool": cool}})
        self.forms = {"deep": deep, "cool": cool}
        self.archived()

    def session(self, name: str, *args: Any, **more: Any) -> Path:
        """A session folder with a clip that does not shrink, so that no tarball is too small to be archived."""
        folder = super().session(name, *args, **more)
        (folder / f"{folder.name}_0003.avi").write_bytes(
            random.Random(name).randbytes(9 << 20 if name.endswith("x1") else 300_000)
        )
        return folder

    def ask(self, name: str, **more: Any) -> list[str]:
        """What a restore from `name` says; a failure is its last line."""
        kept = {key: value for key, value in self.config.values.items() if key not in GIVEN}
        self.config = check({**kept, "from": name, **more})
        said: list[str] = []
        try:
            restore_asked(self.config, say=said.append)
        except NotAllRestored as error:
            said.append(f"FAILED {error}")
        return said

    def asked(self) -> int:
        return sum(self.front.asked.values())

    def assert_restored(self, name: str, unit: Unit) -> None:
        folder = self.paths.restored_record(name, unit).parent / str(unit)
        for entry in Manifest.read(self.paths.manifest(unit)):
            assert sha256_of(folder / entry.path) == (entry.size, entry.sha256)
        assert self.copies(unit, name)[1].evidence == "restored"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColdLab]:
    folder = tmp_path_factory.mktemp("lab")
    with (
        running(tmp_path_factory.mktemp("sandbox"), ["s3"]) as services,
        cold_front(services.s3["endpoint_url"]) as front,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.chdir(folder)
        patch.setenv("AWS_ACCESS_KEY_ID", services.s3["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", services.s3["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        settings = ClientConfig(s3={"addressing_style": "path"})
        client = boto3.Session().client(
            "s3", endpoint_url=services.s3["endpoint_url"], region_name="us-east-1", config=settings
        )
        yield ColdLab(folder, front, client)


@pytest.fixture
def lab(made: ColdLab) -> ColdLab:
    """Everything is archived, nothing asked for, nothing restored."""
    for one in made.front.objects.values():
        one.ready = one.ends = None
    made.front.asked.clear()
    made.front.read.clear()
    made.front.refuse = ""
    shutil.rmtree(made.paths.restored, ignore_errors=True)
    for found in made.paths.results.glob("*/vault"):
        shutil.rmtree(found)
    return made


def test_a_tarball_is_asked_for_once_waited_for_and_restored(lab: ColdLab) -> None:
    unit = lab.units[0]
    said = lab.ask("deep", unit=str(unit))
    assert said[0].startswith(f"{unit}: {unit.code}/{unit}.")
    assert "asked of bucket cold-deep (Standard): an object comes back whole, and can be read for 7 days" in said[0]
    again = f"run `snakemake --cores 1 restore --config unit={unit} from=deep` again from "
    assert said[1].startswith(f"deep: waiting for {unit}: {again}")
    due = said[1].partition(again)[2].removesuffix(" UTC")
    assert abs((parsed(f"{due}+00:00") - lab.front.now).total_seconds() - 12 * 3600) < 60
    lab.front.pass_hours(11)
    assert lab.ask("deep", unit=str(unit)) == said[1:]
    lab.front.pass_hours(1.1)
    (line,) = lab.ask("deep", unit=str(unit))
    assert line.startswith(f"{unit} from deep: ")
    assert "restored and equal to their manifest" in line
    lab.assert_restored("deep", unit)
    assert lab.asked() == 1
    assert lab.ask("deep", unit=str(unit)) == [f"{unit} from deep: restored already"]


def test_tier_and_days_are_asked_for_and_what_the_class_does_not_have_is_refused(lab: ColdLab) -> None:
    unit = lab.units[0]
    said = lab.ask("deep", unit=str(unit), tier="Expedited")
    assert "is in DEEP_ARCHIVE, which knows no Expedited: use tier=Standard or tier=Bulk" in said[0]
    assert said[-1].startswith("FAILED")
    assert lab.asked() == 0
    assert "max_cost is not compared" in lab.ask("deep", unit=str(unit), tier="Bulk", days=3, max_cost=1)[1]
    (one,) = [one for one in lab.front.objects.values() if one.ready]
    assert (one.tier, one.days) == ("Bulk", 3)


def test_a_copy_that_ended_is_asked_for_again(lab: ColdLab) -> None:
    unit = lab.units[0]
    lab.ask("deep", unit=str(unit), days=1)
    lab.front.pass_hours(12 + 25)
    said = lab.ask("deep", unit=str(unit))
    assert "asked of bucket" in said[0]
    assert lab.asked() == 2
    lab.front.pass_hours(12.1)
    lab.ask("deep", unit=str(unit))
    lab.assert_restored("deep", unit)


def test_of_a_set_of_files_each_is_fetched_when_it_can_be_and_asked_for_once(lab: ColdLab) -> None:
    unit = lab.units[0]
    said = lab.ask("cool", unit=str(unit))
    assert f"{unit}: 3 objects, " in said[0]
    clips = sorted(path for path in lab.front.objects if "cold-cool" in path and f"/{unit.session}" in path)
    assert len(clips) == 3
    # The first comes at once; the others only when its copy has ended again.
    first, *others = (lab.front.objects[path] for path in clips)
    first.ready, first.ends = lab.front.now, lab.front.now.replace(year=lab.front.now.year + 1)
    assert "waiting" in lab.ask("cool", unit=str(unit))[0]
    assert lab.front.read[clips[0]] > 280_000 / 2
    assert not any(lab.front.read[path] for path in clips[1:])
    first.ready = first.ends = None
    lab.front.read.clear()
    lab.front.pass_hours(5.1)
    (line,) = lab.ask("cool", unit=str(unit))
    assert "restored and equal" in line
    lab.assert_restored("cool", unit)
    assert lab.front.read[clips[0]] == 0
    assert all(lab.front.asked[path] == 1 for path in clips)
    assert all(one.tier == "Standard" for one in others)


def test_a_copy_that_ends_in_the_middle_is_asked_for_again_and_fetched_from_where_it_was(
    lab: ColdLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    (tarball,) = [path for path in lab.front.objects if "cold-deep" in path and str(unit) in path]
    lab.ask("deep", unit=str(unit))
    lab.front.pass_hours(12.1)
    there = lab.front.state
    monkeypatch.setattr(lab.front, "state", lambda path: there(path) if path != tarball else ended(lab, tarball))
    said = lab.ask("deep", unit=str(unit))
    monkeypatch.undo()
    assert "asked of bucket" in said[0]
    assert "waiting for" in said[1]
    lab.front.pass_hours(12.1)
    lab.ask("deep", unit=str(unit))
    lab.assert_restored("deep", unit)
    assert lab.front.asked[tarball] == 2


def ended(lab: ColdLab, path: str) -> str:
    """A copy that HEAD says is there, and that is gone by the time it is read."""
    state = ColdFront.state(lab.front, path)
    if state == "here":
        lab.front.objects[path].ends = lab.front.now
    return state


def test_one_file_of_a_tarball_costs_the_whole_object_and_reads_its_own_bytes(lab: ColdLab) -> None:
    unit = lab.units[0]
    (tarball,) = [path for path in lab.front.objects if "cold-deep" in path and str(unit) in path]
    name = f"{unit.session}/{unit.session}_0001.avi"
    lab.ask("deep", file=name)
    lab.front.pass_hours(12.1)
    (line,) = lab.ask("deep", file=name)
    assert line == f"vid/{name} from deep: vid/{name} restored and equal to the manifest of {unit}"
    assert 0 < lab.front.read[tarball] < 2 << 20


def test_one_file_of_a_set_is_asked_for_alone(lab: ColdLab) -> None:
    unit = lab.units[0]
    name = f"{unit.session}/{unit.session}_0003.avi"
    lab.ask("cool", file=name)
    assert [path for path, count in lab.front.asked.items() if count] == [
        path for path in lab.front.objects if path.endswith("_0003.avi.age") and unit.session in path
    ]
    lab.front.pass_hours(5.1)
    assert "restored and equal" in lab.ask("cool", file=name)[0]


def test_what_somebody_else_asked_for_is_waited_for_and_not_asked_for_again(lab: ColdLab) -> None:
    unit = lab.units[0]
    lab.ask("deep", unit=str(unit))
    for found in lab.paths.results.glob("*/vault"):
        shutil.rmtree(found)
    (line,) = lab.ask("deep", unit=str(unit))
    assert "waiting for" in line
    assert lab.asked() == 1


def test_no_capacity_and_a_lack_of_permission_are_explained(lab: ColdLab) -> None:
    unit = lab.units[0]
    lab.front.refuse = "GlacierExpeditedRetrievalNotAvailable"
    said = lab.ask("cool", unit=str(unit), tier="Expedited")
    assert "Amazon has no capacity for Expedited retrievals now" in said[0]
    lab.front.refuse = "AccessDenied"
    said = lab.ask("deep", unit=str(unit))
    assert "permission denied (AccessDenied): these credentials need s3:RestoreObject" in said[0]
    assert said[-1].startswith("FAILED 1 of the units")


def test_any_says_from_where_it_has_to_be_asked_for(lab: ColdLab) -> None:
    kept = {key: value for key, value in lab.config.values.items() if key not in GIVEN}
    config = check({**kept, "from": "any", "unit": str(lab.units[1])})
    with pytest.raises(NothingThere, match="is in storage class [A-Z_]+: hours, and a fee: restore it with from="):
        wanted(config)


def test_an_old_object_of_an_archive_class_is_asked_for_and_opened(lab: ColdLab) -> None:
    code, key = "df5c5206", "df5c5206/df5c5206_3/df5c5206_3_0007.avi.enc"
    made = encrypted(lab.folder / "old.enc", AVI)
    lab.client.create_bucket(Bucket="cold-old")
    lab.client.put_object(Bucket="cold-old", Key=key, Body=made.read_bytes())
    lab.front.objects[f"/cold-old/{key}"] = Archived("GLACIER")
    (lab.folder / "password").write_bytes(PASSWORD + b"\n")
    (lab.folder / "password").chmod(0o600)
    kept = {name: value for name, value in lab.config.values.items() if name not in GIVEN}
    where = {name: lab.forms["cool"][name] for name in ("type", "zone", "region", "endpoint_url", "form")}
    old = {**where, "bucket": "cold-old", "kinds": []}
    config = check({**kept, "destinations": {"old": old}, "legacy_password_file": str(lab.folder / "password")})
    adopt(config, lab.private, "old")

    def ask() -> list[str]:
        said: list[str] = []
        later.restore_asked(check({**config.values, "from": "old", "subject": code, "tier": "Bulk"}), say=said.append)
        return said

    assert "asked of bucket cold-old (Bulk): an object comes back whole" in ask()[0]
    lab.front.pass_hours(11)
    assert "waiting for df5c5206_3_0007.avi.enc" in ask()[0]
    lab.front.pass_hours(1.1)
    assert ask()[0].startswith("df5c5206_3_0007.avi.enc from old: 1 files, ")
    (clip,) = (lab.paths.restored / "old").rglob("*.avi")
    assert clip.read_bytes() == AVI
    assert ask() == ["df5c5206_3_0007.avi.enc from old: restored already"]
    assert lab.asked() == 1


@pytest.mark.parametrize(
    ("storage", "restore", "archive", "state", "until"),
    [
        (None, None, None, "here", None),
        ("STANDARD_IA", None, None, "here", None),
        ("GLACIER", None, None, "archived", None),
        ("DEEP_ARCHIVE", 'ongoing-request="true"', None, "asked", None),
        (
            "GLACIER",
            'ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"',
            None,
            "here",
            "2035-12-21T00:00:00Z",
        ),
        ("GLACIER", 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"', None, "archived", None),
        ("INTELLIGENT_TIERING", None, None, "here", None),
        ("INTELLIGENT_TIERING", None, "ARCHIVE_ACCESS", "archived", None),
        ("INTELLIGENT_TIERING", 'ongoing-request="true"', "DEEP_ARCHIVE_ACCESS", "asked", None),
    ],
)
def test_what_head_says_is_understood(
    storage: str | None, restore: str | None, archive: str | None, state: str, until: str | None
) -> None:
    told = {"StorageClass": storage, "Restore": restore, "ArchiveStatus": archive}
    answer: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    answer["ResponseMetadata"] = {"HTTPHeaders": {"date": "Thu, 26 Nov 2026 10:00:00 GMT"}}
    found = readiness_of(answer)
    assert (found.state, found.until, found.now) == (state, until, "2026-11-26T10:00:00Z")
