"""How fast a recording is scanned and hashed, beside hashing alone: `make bench`.

Both read the same file, which is in the page cache, in turns in the same process. The promise: 80 % of SHA-256's speed,
where two cores are free; the CPU seconds say what it costs where they are not.

The engine: google-re2 1.1 was measured once beside Hyperscan 0.8 on the 701 expressions of one person with an accent,
a hyphen and an apostrophe, 1 MiB at a time, on two shared cores of an AMD EPYC with SHA instructions, SHA-256 at 0.7 to
1.0 GB/s at the time: random bytes 0.34 GB/s as a set and 0.28 as one alternation against Hyperscan's 3.3; quiet 16-bit
samples 0.47 and 0.38 against 2.6. RE2's set also tells no places.
"""

import hashlib
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import edf_builder
import noise

from ecogvault.person import Person
from ecogvault.phi import Names, scan_file

PERSON = Person("O'Quillavan-Žurová", "Émeline", ("Marie-Tou",), "0048-213-77", "1987-04-09")
MIB = 1024 * 1024
SIZE = 512 * MIB
TURNS = 5


def recording(path: Path, kind: str) -> int:
    """A recording of 128 signals at 256 Hz with annotations, of quiet samples, or of random bytes."""
    labels = [*(f"EEG G{number}-Ref" for number in range(128)), "EDF Annotations"]
    samples = [*[256] * 128, 60]
    record = 2 * sum(samples)
    makers = {"quiet samples": noise.recordings, "random bytes": noise.random_bytes}
    with open(path, "wb") as file:
        header = edf_builder.header(labels=labels, samples=samples, records=SIZE // record, patient="X X X X")
        file.write(header)
        left = b""
        for block in makers[kind](SIZE, 1):
            data = left + block
            whole = len(data) // record
            for number in range(whole):
                piece = data[number * record : number * record + record - 120]
                file.write(piece + f"+{number}\x14\x14\0+{number}.5\x14Eyes closed\x14\0".encode().ljust(120, b"\0"))
            left = data[whole * record :]
        return file.tell()


@pytest.mark.parametrize("kind", ["quiet samples", "random bytes"])
def test_scan_and_hash_beside_hash_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "df5c5206_1.edf"
    size = recording(path, kind)
    names = Names.of([PERSON])
    hashed: list[float] = []
    scanned: list[float] = []
    busy: list[float] = []
    for _ in range(TURNS):
        start = time.perf_counter()
        with open(path, "rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        hashed.append(time.perf_counter() - start)
        start, cpu = time.perf_counter(), time.process_time()
        scan = scan_file(path, label="x", coded="x.edf", everyone=names, person=names, key=bytes(32))
        scanned.append(time.perf_counter() - start)
        busy.append(time.process_time() - cpu)
        assert scan.sha256 == expected
        assert scan.count == 0
    ratio = 100 * min(hashed) / min(scanned)
    print(
        f"\n{kind}, {size / MIB:.0f} MiB: SHA-256 {size / min(hashed) / 1e9:.2f} GB/s, "
        f"scan and SHA-256 {size / min(scanned) / 1e9:.2f} GB/s: {ratio:.0f} % (80 % promised), "
        f"{min(busy) * 1e9 / size:.2f} CPU seconds a GB"
    )
