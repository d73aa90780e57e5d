"""A NAS that is not mounted: its mount point is there, and empty."""

from pathlib import Path

import pytest
from archive_lab import ArchiveLab

from ecogvault.stores.errors import BucketMissing
from ecogvault.verify import CopiesAreWrong, verify


def test_an_empty_mount_point_takes_no_copies_and_says_nothing_is_missing(tmp_path: Path) -> None:
    lab = ArchiveLab(tmp_path, {"nas": {"form": "files"}})
    first, second = lab.units[0], lab.units[1]
    for unit in (first, second):
        lab.make(unit)
    lab.upload(first, "nas")
    (tmp_path / "nas").rename(tmp_path / "away")
    (tmp_path / "nas").mkdir()

    with pytest.raises(BucketMissing, match="is empty, though copies were put there: mount it"):
        lab.upload(second, "nas")
    assert list((tmp_path / "nas").iterdir()) == []
    said: list[str] = []
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=said.append)
    assert "could not be asked" in said[0]
    assert lab.copies(first, "nas")[1].evidence == "acknowledged"

    (tmp_path / "nas").rmdir()
    (tmp_path / "away").rename(tmp_path / "nas")
    lab.upload(second, "nas")
    assert lab.copies(second, "nas")[1].evidence == "acknowledged"


def test_a_nas_that_is_really_new_is_filled_when_a_file_says_so(tmp_path: Path) -> None:
    lab = ArchiveLab(tmp_path, {"nas": {"form": "files"}})
    unit = lab.units[0]
    lab.make(unit)
    lab.upload(unit, "nas")
    (tmp_path / "nas").rename(tmp_path / "broken")
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "new").touch()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    assert lab.copies(unit, "nas")[1].fault == "missing"
    assert lab.upload(unit, "nas").sent > 0
