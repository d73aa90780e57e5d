"""How well copies are proven, by the lab's policy: what counts, what ages, and what is said of a shortfall."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.evidence import Policy, grade, shortfall
from ecogvault.ledger import EVIDENCE, Copy, event, fold
from ecogvault.naming import Unit

NOW = datetime(2026, 3, 2, tzinfo=UTC)
UNIT = Unit("df5c5206", 3, "vid")


def copy(**days_ago: float) -> Copy:
    """A complete copy whose evidence of each kind is so many days old."""
    proven = {kind: (NOW - timedelta(days=days)).isoformat() for kind, days in days_ago.items()}
    return Copy(1, "0" * 64, evidence=max(proven, key=EVIDENCE.index), proven=proven)


def test_a_ledger_says_when_each_kind_of_evidence_was_last_found() -> None:
    events = [event(kind, 1, "0" * 64, bytes_sent=1) for kind in ("acknowledged", "listed", "rehashed", "listed")]
    for number, line in enumerate(events):
        line["at"] = f"2026-03-0{number + 1}T00:00:00Z"
    (found,) = fold(events).values()
    assert found.evidence == "rehashed"
    assert {kind: at[:10] for kind, at in found.proven.items()} == {
        "acknowledged": "2026-03-01",
        "rehashed": "2026-03-03",
        "listed": "2026-03-04",
    }
    (after,) = fold([*events, event("wrong", 1, "0" * 64, keys=[])]).values()
    assert (after.evidence, dict(after.proven)) == (None, {})


def test_evidence_that_is_too_old_gives_way_to_what_is_younger() -> None:
    old = copy(acknowledged=900, listed=10, restored=500)
    assert grade(old, NOW, max_age_days=None)[0] == "restored"
    assert grade(old, NOW, max_age_days=400)[0] == "listed"
    assert grade(old, NOW, max_age_days=5)[0] == "acknowledged"


def test_a_shortfall_names_what_each_place_lacks() -> None:
    policy = Policy(2, "listed", ("s3", "vault", "deep"), 400)
    copies = {"s3": copy(acknowledged=9, listed=8), "nas": copy(listed=1), "vault": copy(acknowledged=3), "deep": None}
    found = shortfall(UNIT, copies, policy, NOW)
    assert str(found) == (
        "df5c5206_3_vid has 1 of 2 copies that are listed or better: vault acknowledged 2026-02-27; deep has none"
    )
    assert shortfall(UNIT, copies, Policy(2, "listed"), NOW) is None


@pytest.mark.parametrize(("fault", "said"), [("missing", "s3 missing"), (None, "s3 is not complete")])
def test_a_copy_that_is_not_whole_counts_for_nothing(fault: str | None, said: str) -> None:
    found = shortfall(UNIT, {"s3": Copy(1, "0" * 64, fault=fault)}, Policy(1, "acknowledged"), NOW)
    assert found is not None
    assert found.missing == (said,)


@given(st.dictionaries(st.sampled_from("abcd"), st.sampled_from([None, *EVIDENCE])), st.integers(1, 4))
def test_better_evidence_never_makes_a_shortfall(grades: dict[str, str | None], minimum: int) -> None:
    policy = Policy(minimum, "rehashed")
    copies = {name: copy(**{kind: 1}) if kind else None for name, kind in grades.items()}
    better = {name: copy(restored=0) for name in grades}
    short = shortfall(UNIT, copies, policy, NOW)
    assert (short is None) == (sum(kind in ("rehashed", "restored") for kind in grades.values()) >= minimum)
    if short is None:
        assert shortfall(UNIT, better, policy, NOW) is None
