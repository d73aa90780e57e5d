"""Drills: restores only to prove that they work; the longest unproven first, wiped afterwards, loud when they fail."""

from pathlib import Path

import pytest
from archive_lab import ArchiveLab, flip
from hypothesis import given
from hypothesis import strategies as st

from ecogvault import drill as drills
from ecogvault.config import ConfigError, check
from ecogvault.drill import Chosen, DrillFailed, drill, order, within
from ecogvault.ledger import Copy
from ecogvault.naming import Unit
from ecogvault.restore import restore_unit
from ecogvault.stores.errors import NotFound


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    monkeypatch.chdir(tmp_path)
    return ArchiveLab(tmp_path).archived()


def drilled(lab: ArchiveLab, **settings: object) -> tuple[list[str], list[tuple[Unit, str]]]:
    said: list[str] = []
    return said, drill(check({**lab.config.values, **settings}), say=said.append)


def left_behind(lab: ArchiveLab) -> list[Path]:
    return [path for path in lab.paths.restored.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_every_copy_is_proven_in_turn_and_nothing_of_it_stays(lab: ArchiveLab) -> None:
    said, done = drilled(lab, budget_gib=1)
    assert set(done) == {(unit, name) for unit in lab.units for name in ("deep", "nas", "crypt")}
    assert [line.partition(",")[0] for line in said] == [
        f"{name}: 2 copies restored and compared" for name in ("deep", "nas", "crypt")
    ]
    assert {lab.copies(unit, name)[1].evidence for unit, name in done} == {"restored"}
    assert left_behind(lab) == []


def test_a_small_budget_comes_to_every_copy_in_time(lab: ArchiveLab) -> None:
    seen = [drilled(lab, budget_gib=1e-9, **{"from": "deep"})[1] for _ in range(2)]
    assert {unit for ((unit, _),) in seen} == set(lab.units)


@pytest.mark.parametrize("name", ["deep", "nas", "crypt"])
def test_a_copy_that_does_not_come_back_is_said_loudly_marked_and_no_other_is(lab: ArchiveLab, name: str) -> None:
    unit, other = lab.units
    path = lab.largest(unit, name)
    key = str(path.relative_to(lab.folder / name))
    flip(path)
    said: list[str] = []
    with pytest.raises(DrillFailed, match="1 copies cannot be restored"):
        drill(lab.config, say=said.append)
    (loud,) = [line for line in said if "THE DRILL FAILED" in line]
    assert loud.startswith(f"{name}: THE DRILL FAILED: {unit}: ")
    assert lab.copies(unit, name)[1].fault == "wrong"
    assert set(lab.copies(unit, name)[1].spoilt) == {key}
    assert not lab.paths.receipt(name, unit).exists()
    assert lab.copies(other, name)[1].evidence == "restored"
    assert left_behind(lab) == []


def test_a_place_that_does_not_answer_says_nothing_about_its_copies(lab: ArchiveLab) -> None:
    (lab.folder / "deep").rename(lab.folder / "away")
    said: list[str] = []
    with pytest.raises(DrillFailed):
        drill(lab.config, say=said.append)
    assert sum("THE DRILL FAILED" in line for line in said) == 2
    assert {lab.copies(unit, "deep")[1].evidence for unit in lab.units} == {"acknowledged"}


def test_what_a_killed_drill_has_restored_is_wiped_by_the_next(
    lab: ArchiveLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*words: object) -> None:
        restore_unit(*words)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drills, "restore_unit", killed)
        patch.setattr(drills, "_wipe", lambda folder: None)
        with pytest.raises(KeyboardInterrupt):
            drilled(lab)
    assert left_behind(lab) != []
    drilled(lab)
    assert left_behind(lab) == []


def test_a_moment_of_trouble_is_tried_again_and_no_failure(lab: ArchiveLab, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def once(*words: object) -> str:
        tries.append(words)
        if len(tries) == 1:
            raise NotFound("not just now")
        return restore_unit(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(drills, "restore_unit", once)
    assert len(drilled(lab)[1]) == 6


def test_a_machine_without_an_age_identity_drills_nothing(lab: ArchiveLab) -> None:
    with pytest.raises(ConfigError, match="age_identity is not set"):
        drilled(lab, age_identity=None)


# --- which copies -----------------------------------------------------------------------------------------------------

COPIES = st.lists(
    st.builds(
        lambda number, at, size: Chosen(
            Unit("df5c5206", number, "vid"),
            Copy(1, "0" * 64, ({"key": "x", "size": size},), proven={"restored": at} if at else {}),
        ),
        st.integers(1, 50),
        st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
        st.integers(0, 100),
    ),
    unique_by=lambda one: one.unit,
)


@given(COPIES, st.text(max_size=5))
def test_the_longest_unproven_come_first_and_the_seed_alone_decides_among_equals(
    copies: list[Chosen], seed: str
) -> None:
    found = order(copies, seed)
    assert sorted(one.unit for one in found) == sorted(one.unit for one in copies)
    ages = [one.copy.proven.get("restored", "") for one in found]
    assert ages == sorted(ages)
    assert found == order(reversed(copies), seed)


@given(COPIES, st.integers(0, 300))
def test_a_budget_is_kept_but_for_the_first(copies: list[Chosen], budget: int) -> None:
    found = within(copies, budget)
    assert found == copies[: len(found)]
    assert len(found) >= min(1, len(copies))
    assert len(found) <= 1 or sum(one.copy.size for one in found) <= budget
