"""Sealing and opening for hours: random units, random damage, and a file as large as a long session's: `make campaign`.

ECOGVAULT_SEALS is how many random units (300), ECOGVAULT_SEAL_GIB the size of the large file (20), ECOGVAULT_SEED where
seeds begin (by default the time, which is printed).
"""

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tarball_builder import KEY, UNIT, contents, outputs, sealed, tree
from test_tarball_sizes import peak_of

from ecogvault.age import write_identity_file
from ecogvault.age.chunks import SEALED_CHUNK
from ecogvault.errors import EcogvaultError
from ecogvault.manifest import Manifest, entry_of
from ecogvault.tarball import open_sealed_tarball, open_stream

MIB = 1024 * 1024
SEALS = int(os.environ.get("ECOGVAULT_SEALS", "300"))
LARGE = int(os.environ.get("ECOGVAULT_SEAL_GIB", "20")) * 1024 * MIB
TOGETHER = 25
DAMAGES = 20
EDGES = [0, 1, 511, 512, 513, 65535, 65536, 65537, 131072, 4 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 12 * MIB]


@pytest.fixture(scope="session")
def seed() -> int:
    return int(os.environ.get("ECOGVAULT_SEED", str(int(time.time()))))


def content(generator: random.Random) -> bytes:
    """Noise, text, zeros, or a mixture that changes in the middle of a frame."""
    size = generator.choice([*EDGES, generator.randrange(100_000), generator.randrange(30 * MIB)])
    parts: list[bytes] = []
    while (left := size - sum(map(len, parts))) > 0:
        some = generator.choice([left, min(left, generator.randrange(1, 6 * MIB))])
        parts.append(
            generator.choice([generator.randbytes, bytes, lambda n: (b"a line of text\n" * (n // 15 + 1))[:n]])(some)
        )
    return b"".join(parts)


@pytest.mark.parametrize("first", range(0, SEALS, TOGETHER))
def test_random_units_come_back_in_every_way_and_no_damage_passes(tmp_path: Path, seed: int, first: int) -> None:
    write_identity_file(tmp_path / "key", KEY, None)
    for number in range(first, min(first + TOGETHER, SEALS)):
        print(f"ECOGVAULT_SEED={seed}, unit {number}")
        generator = random.Random(f"{seed} {number}")
        files = {f"vid/{n:03}.avi": content(generator) for n in range(generator.randrange(8))}
        here = tmp_path / str(number)
        (here / "root").mkdir(parents=True)
        manifest = tree(here / "root", files)
        sealed(here / "sealed", manifest, here / "root", threads=generator.randrange(1, 5))
        tarball = outputs(here / "sealed")["tarball"]
        data = tarball.read_bytes()
        open_sealed_tarball(tarball, [KEY], here / "range", threads=generator.randrange(1, 5))
        open_stream(io.BytesIO(data), [KEY], here / "stream", threads=generator.randrange(1, 5))
        (here / "tools").mkdir()
        command = f"age -d -i {tmp_path}/key {tarball} | zstd -d -q | tar x -C {here}/tools"
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
        for way in ("range", "stream", "tools"):
            found = contents(here / way / UNIT)
            assert {path: found[path] for path in files} == files, way
        for damage in range(DAMAGES):
            broken = bytearray(data)
            broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
            with pytest.raises(EcogvaultError):
                open_stream(io.BytesIO(broken), [KEY], here / f"broken {damage}")
            left = contents(here / f"broken {damage}") if (here / f"broken {damage}").exists() else {}
            for path, some in left.items():
                assert some == found[path.removeprefix(f"{UNIT}/")]
        subprocess.run(["rm", "-rf", here], check=True)


def test_truncation_at_every_chunk_boundary_of_a_large_tarball_is_detected(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    manifest = tree(tmp_path / "root", {"a.avi": random.Random(3).randbytes(40 * MIB), "b.txt": b"text"})
    sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=2)
    data = outputs(tmp_path / "sealed")["tarball"].read_bytes()
    start = data.index(b"\n--- ") + 49 + 16
    for number, cut in enumerate(range(start, len(data), SEALED_CHUNK)):
        path = tmp_path / "cut.tar.zst.age"
        path.write_bytes(data[:cut])
        with pytest.raises(EcogvaultError):
            open_sealed_tarball(path, [KEY], tmp_path / "range" / str(number))
        if number % 16 == 0:
            with pytest.raises(EcogvaultError):
                open_stream(io.BytesIO(data[:cut]), [KEY], tmp_path / "stream" / str(number))
    for way in ("range", "stream"):
        assert not any(path.endswith(".avi") for path in contents(tmp_path / way))


def test_a_file_of_many_gibibytes_comes_back_within_the_memory_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    noise = random.Random(4).randbytes(8 * MIB)
    with open(tmp_path / "root/large.avi", "wb") as stream:
        for _ in range(0, LARGE, 16 * MIB):
            stream.write(noise)
            stream.seek(8 * MIB, os.SEEK_CUR)
        stream.truncate(LARGE + 12345)
    Manifest.of([entry_of(tmp_path / "root", "large.avi")]).write(tmp_path / "manifest.tsv")
    for what in ("seal", "open"):
        peak = peak_of(what, tmp_path)
        print(f"{what}: {peak} MiB at most")
        assert peak < 400
    # The opener names a file when its SHA-256 is the manifest's.
    assert (tmp_path / "out" / UNIT / "large.avi").stat().st_size == LARGE + 12345
