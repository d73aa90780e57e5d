"""`kill -9` of uploads: whatever the moment, the next run ends with the same objects, and sends little twice."""

import random
from collections.abc import Iterator

import pytest
from kills import CERTAIN, DESTINATIONS, Yard, yard_in

KILLS = 20  # per destination
SEED = 3


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard_in(tmp_path_factory.mktemp("kills") / "yard") as made:
        yield made


@pytest.mark.parametrize(("destination", "moment"), [(name, moment) for name in CERTAIN for moment in CERTAIN[name]])
def test_an_upload_killed_just_when(yard: Yard, destination: str, moment: str) -> None:
    yard.kill(destination, {"after": CERTAIN[destination][moment]}, must_die=True)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_an_upload_killed_at_any_moment_is_finished_by_the_next_run(yard: Yard, destination: str) -> None:
    generator = random.Random(f"{SEED} {destination}")
    yard.died = 0
    for _ in range(KILLS - len(CERTAIN[destination])):
        yard.kill(destination, yard.die_at_random(destination, generator))
    assert yard.died >= KILLS // 2, "too few uploads died: the moments are chosen badly"
