"""A thousand surnames in a GiB of each kind of noise, with other seeds than the short test's: `make campaign`.

ECOGVAULT_SEED is the seed (by default the time, which is printed).
"""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from noise import NOISES, false_positives, surnames

from ecogvault.phi import Names

GIB = 1024**3
FIVE_SIGMA = 6
"""Among a thousand surnames 200 have five letters, each in three cases: 0.6 chance matches in a GiB of random bytes are
expected, and more than six happen once in a million runs. A person has one surname: the promise of at most one in a
GiB is per person, and is kept a thousand times over."""


@pytest.mark.parametrize("noise", NOISES)
def test_a_thousand_surnames_in_a_gib_of_noise(noise: str) -> None:
    seed = int(os.environ.get("ECOGVAULT_SEED", str(int(time.time()))))
    region, made = NOISES[noise]
    found, size = false_positives(Names.of(surnames(1000)), region, made(GIB, seed))
    print(f"ECOGVAULT_SEED={seed}, {noise}: {found} false positives in {size / GIB:.2f} GiB")
    assert found <= FIVE_SIGMA
