"""Which coded files may go, and whether the hospital's drive may: never on the word of a place that was not heard."""

from pathlib import Path

import pytest
from archive_lab import ArchiveLab

from ecogvault.config import Config, check
from ecogvault.ledger import Copy
from ecogvault.naming import Unit
from ecogvault.prune import moved
from ecogvault.prune_trees import ask, prune_trees
from ecogvault.vault.waiting import Waiting
from ecogvault.verify import Tally, verify


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    monkeypatch.chdir(tmp_path)
    made = ArchiveLab(tmp_path).archived()
    verify(made.config, say=lambda line: None)
    return made


def pruned(lab: ArchiveLab, config: Config, *, confirm: bool) -> tuple[str, list[str]]:
    """What is said of the export, and of the rest."""
    said: list[str] = []
    config = check({**config.values, "confirm": "yes" if confirm else "no"})
    prune_trees(config, {lab.code: ""}, ask(config, say=said.append), say=said.append)
    (export,) = [line for line in said if line.startswith("export of ")]
    return export, said


def clips(lab: ArchiveLab) -> list[Path]:
    return sorted((lab.paths.subject(lab.code) / "vid").rglob("*.avi"))


def test_files_go_and_the_drive_may_when_every_place_has_just_listed_everything(lab: ArchiveLab) -> None:
    export, _ = pruned(lab, lab.config, confirm=False)
    assert "it may go: all its 2 units are listed at every destination, when last asked" in export
    assert len(clips(lab)) == 4
    export, _ = pruned(lab, lab.config, confirm=True)
    assert "it may go: all its 2 units are listed at every destination; it is yours" in export
    assert clips(lab) == []


def test_nothing_goes_while_a_place_does_not_answer(lab: ArchiveLab) -> None:
    (lab.folder / "nas").rename(lab.folder / "away")
    export, said = pruned(lab, lab.config, confirm=True)
    assert any(line.startswith("nas: could not be asked") for line in said)
    assert export.startswith(f"export of {lab.code}: keep it: ")
    assert "at nas: it could not be verified there now" in export
    assert len(clips(lab)) == 4


def test_files_that_every_place_leaves_out_are_kept_and_keep_the_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    without = {"form": "files", "exclude": {"vid": ["*_0002.avi"]}}
    lab = ArchiveLab(tmp_path, {"nas": without, "disk": without}).archived()
    verify(lab.config, say=lambda line: None)
    export, _ = pruned(lab, lab.config, confirm=True)
    assert "1 of its files are left out at every destination (exclude:), first vid/" in export
    assert "keep it" in export
    assert len(clips(lab)) == 4


def test_an_inventory_that_is_older_than_the_vaults_newest_does_not_let_anything_go() -> None:
    unit = Unit("df5c5206", 1, "vid")
    assert Tally(units=[unit]).listed_now == {unit}
    assert Tally(units=[unit], waiting=Waiting("the inventory", "2026-03-02T09:10:11Z")).listed_now == set()
    assert Tally(units=[unit], unreachable="no answer").listed_now == set()


def test_a_copy_in_another_bucket_than_the_configured_one_lets_nothing_go() -> None:
    unit = Unit("df5c5206", 1, "vid")
    here = {"type": "s3", "zone": "outside", "form": "tarball", "bucket": "new"}
    config = check({"destinations": {"s3": here}})
    copies = {bucket: Copy(1, "ab" * 32, ({"key": "k", "bucket": bucket},)) for bucket in ("old", "new")}
    found = moved(config, unit, {"s3": copies["old"]})
    assert found is not None
    assert found.destination == "s3"
    assert moved(config, unit, {"s3": copies["new"]}) is None
    assert moved(config, unit, {"s3": None}) is None
