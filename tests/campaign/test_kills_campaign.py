"""A thousand uploads killed at random moments, with other seeds than the short test's: `make campaign`.

ECOGVAULT_KILLS is how many in all, ECOGVAULT_SEED where their seeds begin (by default the time, which is printed).
"""

import os
import random
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from kills import DESTINATIONS, yard_in

KILLS = int(os.environ.get("ECOGVAULT_KILLS", "1000"))
SERVER_LASTS = 50  # kills until a new server, so that what the old ones delete does not fill the disk


def rounds() -> list[int]:
    """How many kills each round has."""
    return [min(SERVER_LASTS, KILLS - first) for first in range(0, KILLS, SERVER_LASTS)]


@pytest.fixture(scope="session")
def seed() -> int:
    return int(os.environ.get("ECOGVAULT_SEED", str(int(time.time()))))


@pytest.mark.parametrize(("number", "kills"), list(enumerate(rounds())))
def test_uploads_killed_at_any_moment_are_finished_by_the_next_run(
    tmp_path: Path, seed: int, number: int, kills: int
) -> None:
    print(f"ECOGVAULT_SEED={seed}, round {number}")
    generator = random.Random(f"{seed} {number}")
    with yard_in(tmp_path / "yard") as yard:
        for count in range(kills):
            destination = DESTINATIONS[count % len(DESTINATIONS)]
            die = yard.die_at_random(destination, generator)
            print(f"{count}: {destination}: {die}")
            print(f"    {yard.kill(destination, die)}")
        assert yard.died >= kills // 3
