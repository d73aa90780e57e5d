"""Sizes that units really have: 100,000 files, a file over 8 GiB, a few bytes wanted out of a large tarball."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tarball_builder import KEY, UNIT, outputs, sealed

from ecogvault.age import FileSource, write_identity_file
from ecogvault.manifest import Manifest, entry_of
from ecogvault.tarball import open_sealed_tarball, read_index

MIB = 1024 * 1024
GIB = 1024 * MIB

OWN_PROCESS = """
import os, sys
from pathlib import Path
from ecogvault.age import parse_identity
from ecogvault.manifest import Manifest
from ecogvault.tarball import open_sealed_tarball
from tarball_builder import outputs, sealed
folder, key = Path(sys.argv[1]), parse_identity(os.environ["TEST_KEY"])
if sys.argv[2] == "seal":
    manifest = Manifest.read(folder / "manifest.tsv")
    sealed(folder / "sealed", manifest, folder / "root", recipients=[key.recipient()], threads=2)
else:
    open_sealed_tarball(outputs(folder / "sealed")["tarball"], [key], folder / "out", threads=2)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_of(what: str, folder: Path) -> int:
    """Seal or open in a process of its own; its peak memory in MiB."""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2] / "scripts")])
    words = [sys.executable, "-c", OWN_PROCESS, str(folder), what]
    environment = os.environ | {"PYTHONPATH": path, "TEST_KEY": KEY.secret_text()}
    done = subprocess.run(words, env=environment, capture_output=True, check=True)
    return int(done.stdout) // 1024


@pytest.mark.slow
def test_a_hundred_thousand_files_come_back_within_the_memory_that_is_allowed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    paths = [f"vid/df5c5206_3/{number // 1000:03}/df5c5206_3_{number:06}.txt" for number in range(100_000)]
    for folder in {os.path.dirname(path) for path in paths}:
        (root / folder).mkdir(parents=True)
    for number, path in enumerate(paths):
        (root / path).write_bytes(b"%d\n" % number * (number % 7))
    Manifest.of(entry_of(root, path) for path in paths).write(tmp_path / "manifest.tsv")
    assert peak_of("seal", tmp_path) < 400
    assert peak_of("open", tmp_path) < 400
    for number in (0, 7, 49_999, 99_999):
        assert (tmp_path / "out" / UNIT / paths[number]).read_bytes() == b"%d\n" % number * (number % 7)
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "out")) == 100_002


class Counting(FileSource):
    """A file that counts what is read of it."""

    read = 0

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        self.read += len(buffer)
        return super().read_into(offset, buffer)


@pytest.mark.slow
def test_a_mebibyte_from_the_middle_of_a_gibibyte_costs_its_own_frames_and_less_than_a_mebibyte(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    noise = random.Random(1).randbytes(16 * MIB)
    for number in range(4):
        with open(root / f"a{number}.avi", "wb") as stream:
            for _ in range(16):
                stream.write(noise)
    wanted = random.Random(2).randbytes(MIB)
    (root / "a1_middle.avi").write_bytes(wanted)
    (root / "a1_other.avi").write_bytes(noise[: 7 * MIB])
    names = sorted(path.name for path in root.iterdir())
    manifest = Manifest.of(entry_of(root, name) for name in names)
    sealed(tmp_path / "sealed", manifest, root, threads=2)
    tarball = outputs(tmp_path / "sealed")["tarball"]
    assert tarball.stat().st_size > GIB
    frames = next(one for one in read_index(tarball, [KEY]).members if one.path == "a1_middle.avi").frames
    with open(tarball, "rb", buffering=0) as stream:
        source = Counting(stream.fileno())
        opened = open_sealed_tarball(source, [KEY], tmp_path / "out", members=["a1_middle.avi"])
    assert (opened.folder / "a1_middle.avi").read_bytes() == wanted
    assert [path.name for path in opened.folder.iterdir()] == ["a1_middle.avi"]
    assert source.read < sum(frame.length for frame in frames) + MIB


@pytest.mark.slow
def test_a_file_over_8_gib_is_sealed_within_the_memory_that_is_allowed_and_any_tar_lists_it(tmp_path: Path) -> None:
    size = 8 * GIB + 12345
    root = tmp_path / "root"
    root.mkdir()
    with open(root / "large.erd", "wb") as stream:
        stream.truncate(size)
        stream.seek(size - 5)
        stream.write(b"ended")
    (root / "small.txt").write_bytes(b"behind it")
    Manifest.of(entry_of(root, name) for name in ("large.erd", "small.txt")).write(tmp_path / "manifest.tsv")
    assert peak_of("seal", tmp_path) < 400
    tarball = outputs(tmp_path / "sealed")["tarball"]
    large = next(one for one in read_index(tarball, [KEY]).members if one.path == "large.erd")
    assert (large.size, large.offset % 512) == (size, 0)
    opened = open_sealed_tarball(tarball, [KEY], tmp_path / "out", members=["small.txt"])
    assert (opened.folder / "small.txt").read_bytes() == b"behind it"
    write_identity_file(tmp_path / "key", KEY, None)
    command = f"age -d -i key {tarball} | zstd -d -q | tar tvf -"
    listed = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    sizes = {line.split()[-1].decode(): int(line.split()[2]) for line in listed.stdout.splitlines()}
    assert sizes[f"{UNIT}/large.erd"] == size
    assert sizes[f"{UNIT}/small.txt"] == 9
