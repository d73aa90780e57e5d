"""`kill -9` of restores: whatever the moment, nothing wrong has its name; the next run fetches what is lacking."""

import random
from collections.abc import Iterator

import pytest
from kills import DESTINATIONS, kill_at_random
from restore_kills import RestoreYard, restore_yard_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("restore_kills")]

KILLS = 6  # per destination
SEED = 5


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestoreYard]:
    with restore_yard_in(tmp_path_factory.mktemp("restore_kills") / "yard") as made:
        yield made


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_restore_killed_at_any_moment_is_finished_by_the_next_run(yard: RestoreYard, destination: str) -> None:
    generator = random.Random(f"{SEED} {destination}")
    kill_at_random(yard, destination, generator, KILLS)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_restore_killed_at_its_end_fetches_nothing_again(yard: RestoreYard, destination: str) -> None:
    last = yard.whole(destination)["moments"]
    for moment in range(last - 24, last + 1, 2 if destination == "deep" else 8):
        yard.kill(destination, {"moment": moment}, must_die=moment < last - 2)
