"""One clip of 30 MiB out of a sealed tarball of 4 GiB: `make campaign`. Takes 25 GB of disk while it runs.

ECOGVAULT_CLIPS is how many clips the tarball has.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from large_tarball import MIB, WANTED, large_tarball

CLIPS = int(os.environ.get("ECOGVAULT_CLIPS", "138"))


def test_one_file_of_4_gib_costs_little_more_than_itself(tmp_path: Path) -> None:
    with large_tarball(tmp_path, CLIPS) as tarball:
        assert tarball.size > CLIPS * WANTED
        given = {name: tarball.cost(name) for name in ("s3", "azure", "glacier")}
    print({name: f"{count / MIB:.2f} MiB" for name, count in given.items()})
    assert given["s3"] <= WANTED + 4 * MIB
    assert given["azure"] <= WANTED + 4 * MIB
    assert given["glacier"] <= 1.25 * (WANTED + 2 * MIB) + 4 * MIB
