"""Hundreds of random histories of loss, rot, verify, repair, drill and prune: `make campaign`.

ECOGVAULT_HISTORIES is how many, as in the short test, which this is at length.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("ECOGVAULT_HISTORIES", "400")  # read when test_histories is loaded
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from test_histories import TestHistories

__all__ = ["TestHistories"]
