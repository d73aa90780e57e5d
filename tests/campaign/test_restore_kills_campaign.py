"""A thousand restores killed at random moments, with other seeds than the short test's: `make campaign`.

ECOGVAULT_KILLS is how many, ECOGVAULT_SEED where their seeds begin (by default the time, which is printed).
"""

import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from kills import DESTINATIONS
from restore_kills import restore_yard_in

KILLS = int(os.environ.get("ECOGVAULT_KILLS", "1000"))


def test_restores_killed_at_any_moment_are_finished_by_the_next_run(tmp_path: Path) -> None:
    seed = int(os.environ.get("ECOGVAULT_SEED", str(int(time.time()))))
    print(f"ECOGVAULT_SEED={seed}")
    generator = random.Random(seed)
    with restore_yard_in(tmp_path / "yard") as yard:
        for count in range(KILLS):
            destination = DESTINATIONS[count % len(DESTINATIONS)]
            die = yard.die_at_random(destination, generator)
            print(f"{count}: {destination}: {die}")
            print(f"    {yard.kill(destination, die)}")
        assert yard.died >= KILLS // 3
