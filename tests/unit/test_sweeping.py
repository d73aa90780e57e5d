"""What killed processes leave half-written is removed; what a living one writes is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ecogvault.files import TEMPORARY_SUFFIX, replacing, sweep, sweep_tree

DYING = """
import os, signal, sys
from pathlib import Path
from ecogvault.files import replacing
with replacing(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die_writing(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    done = subprocess.run([sys.executable, "-c", DYING, path], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_a_killed_writer_left_is_removed_by_the_name_of_its_file(tmp_path: Path) -> None:
    die_writing(tmp_path / "a.json")
    die_writing(tmp_path / "a.json.b")
    assert len(left(tmp_path)) == 2
    assert not (tmp_path / "a.json").exists()
    sweep(tmp_path, "a.json")
    (other,) = left(tmp_path)
    assert other.startswith(".a.json.b.")
    sweep(tmp_path)
    assert not left(tmp_path)


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.json") as stream:
        stream.write(b"whole")
        sweep(tmp_path, "a.json")
        sweep(tmp_path)
    assert left(tmp_path) == ["a.json"]


def test_nothing_else_is_touched_and_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    names = ["a.json", ".a.json", f"a.json.1{TEMPORARY_SUFFIX}", ".a.json.1.part"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    raw = tmp_path / f".link.0123abcd{TEMPORARY_SUFFIX}"
    raw.symlink_to(tmp_path / "a.json")
    sweep(tmp_path)
    sweep(tmp_path / "missing", "a")
    assert left(tmp_path) == sorted([*names, raw.name])


@pytest.mark.parametrize("depth", [0, 2])
def test_a_whole_tree_is_swept(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["d"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    die_writing(folder / "x.avi")
    sweep_tree(tmp_path)
    assert not left(tmp_path)
