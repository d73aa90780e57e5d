"""A run is refused, before it writes anything, when copies would go into a registered raw folder. All names made up."""

from pathlib import Path

import pytest
from intake_lab import NAME, Lab

from ecogvault.config import ConfigError
from ecogvault.workflow import run


def destination(path: Path, **more: object) -> dict[str, object]:
    return {"nas": {"type": "folder", "zone": "inside", "form": "files", "path": str(path), **more}}


@pytest.mark.parametrize("where", ["export of Quellmotz/nas", "export of Quellmotz", ".", "link", "link/to/be/made"])
@pytest.mark.parametrize("more", [{}, {"kinds": [], "registry": True}])
def test_a_destination_in_or_around_a_raw_folder_is_refused_by_its_name(
    tmp_path: Path, where: str, more: dict[str, object]
) -> None:
    lab = Lab(tmp_path)
    (tmp_path / "link").symlink_to(lab.raw)
    values = {**lab.config.values, "destinations": destination(tmp_path / where, **more)}
    with pytest.raises(ConfigError) as caught:
        run.plan(values, main_process=True)
    assert str(caught.value) == (
        f"destinations.nas.path and a raw folder of {lab.code} ({lab.id(lab.raw)}) lie in one another, and a raw "
        "folder is never written to: give the destination a folder elsewhere"
    )
    assert not NAME.search(str(caught.value))
    assert list(lab.raw.iterdir()) == []


def test_a_destination_beside_a_raw_folder_or_one_that_is_only_read_is_taken(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for places in (destination(tmp_path / "export of Quellmotz 2"), destination(lab.raw / "old", kinds=[])):
        made = run.plan({**lab.config.values, "destinations": places}, main_process=True)
        assert [plan.code for plan in made.subjects] == [lab.code]
