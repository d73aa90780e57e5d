"""De-identification of one long recording beside the programs that a lab would use instead: `make bench`.

Each runs as a process of its own, in turns, on the same disk. Wall and CPU seconds (user and system) are the process',
peak memory is its VmHWM (ru_maxrss is inherited). `others` is how many cores other programs had meanwhile: above 0.1,
wall times are not to be relied upon. ECOGVAULT_BENCH_MIB is the size of the recording (1024), ECOGVAULT_BENCH_TIMES how
often each is measured (3); the median counts.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import edfio
import numpy as np
import pyedflib
import pytest
from measuring import MIB, OWN_PEAK, ROOT, SIZE, TIMES, busy_seconds, medians

CHANNELS, RATE = 64, 1024

OURS = """
import os, sys, time
from pathlib import Path
from ecogvault import edf
flushed, real = [], os.fsync
def noting(fd):
    real(fd)
    flushed.append(time.perf_counter())
os.fsync = noting
began = time.perf_counter()
done = edf.scrub_file(Path(sys.argv[1]), Path(sys.argv[2]), "df5c5206", reflink=sys.argv[3] == "reflink")
print(done.sha256, f"{1000 * (flushed[0] - began):.1f}")
"""
PYEDFLIB = """
import sys
from pyedflib import highlevel
highlevel.anonymize_edf(sys.argv[1], sys.argv[2], ["patientname", "patientcode"], ["X", "df5c5206"])
"""
EDFIO = """
import sys, edfio
recording = edfio.read_edf(sys.argv[1])
recording.anonymize()
recording.write(sys.argv[2])
"""
MNE = """
import sys, mne
recording = mne.io.read_raw_edf(sys.argv[1], preload=True, verbose="error")
recording.anonymize(verbose="error")
recording.export(sys.argv[2], verbose="error")
"""


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds, peak memory in MiB where the process says it, cores that others had, and its output."""

    wall: float
    cpu: float
    peak: float | None
    others: float
    output: tuple[str, ...]


def measure(command: list[object]) -> Measured:
    """Run a command; the last word of a Python's output is its peak memory in KiB. Fails when it fails."""
    busy, began = busy_seconds(), time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    with subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        words = process.stdout.read().decode().split()
        _, status, used = os.wait4(process.pid, 0)
        wall, busy = time.monotonic() - began, busy_seconds() - busy
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command[0]
    cpu = used.ru_utime + used.ru_stime
    peak = int(words[-1]) / 1024 if command[0] == sys.executable else None
    return Measured(wall, cpu, peak, max(0.0, (busy - cpu) / wall), tuple(words))


def python(script: str, *words: object) -> list[object]:
    """The command that runs `script` in a Python of its own, which tells its peak memory at the end."""
    return [sys.executable, "-c", script + OWN_PEAK, *words]


def side_by_side(title: str, contenders: dict[str, Callable[[], Measured]]) -> dict[str, Measured]:
    """Measure all in turns and print the medians. The ratio is the wall time over that of the first."""
    found = medians(contenders)
    first = next(iter(found.values()))
    print(f"\n{title} ({SIZE / MIB:.0f} MiB, median of {TIMES})")
    print(f"  {'':40} {'s':>7} {'CPU s':>7} {'peak MiB':>9} {'others':>7} {'ratio':>6}")
    for name, one in found.items():
        peak = f"{one.peak:.0f}" if one.peak is not None else ""
        print(f"  {name:40} {one.wall:7.2f} {one.cpu:7.2f} {peak:>9} {one.others:7.2f} {one.wall / first.wall:6.2f}")
    return found


def write_recording(path: Path) -> None:
    """An EDF+ with annotations, as edfio writes it: 64 channels of 1024 Hz."""
    seconds = SIZE // (CHANNELS * RATE * 2)
    wave = np.random.default_rng(3).normal(0, 30, RATE * 60).cumsum()
    samples = np.resize(wave - wave.mean(), RATE * seconds)
    notes = [edfio.EdfAnnotation(second, None, "stimulus") for second in range(0, seconds, 60)]
    signals = [edfio.EdfSignal(samples, RATE, label=f"LA{number + 1}") for number in range(CHANNELS)]
    patient = edfio.Patient(code="0234567", name="Haagse_Harriet")
    edfio.Edf(signals, patient=patient, annotations=notes).write(path)


@pytest.fixture(scope="module")
def recording() -> Iterator[Path]:
    """The recording, in a folder of its own on the disk of the temporary files."""
    with tempfile.TemporaryDirectory(prefix="ecogvault-bench-") as folder:
        path = Path(folder) / "source.edf"
        write_recording(path)
        yield path


def test_a_recording_is_scrubbed_beside_what_else_does_it(recording: Path) -> None:
    target = recording.with_name("target.edf")

    def run(command: list[object]) -> Callable[[], Measured]:
        def once() -> Measured:
            target.unlink(missing_ok=True)
            os.sync()
            return measure(command)

        return once

    cp = f"cp --reflink=never {recording} {target}"
    found = side_by_side(
        "One recording, its header scrubbed",
        {
            "cp": run(["bash", "-c", cp]),
            "cp, flushed to disk": run(["bash", "-c", f"{cp} && sync {target}"]),
            "cp, flushed, sha256sum": run(["bash", "-c", f"{cp} && sync {target} && sha256sum {target}"]),
            "ours: flushed, read back, SHA-256, proven": run(python(OURS, recording, target, "copy")),
            "pyedflib": run(python(PYEDFLIB, recording, target)),
            "edfio": run(python(EDFIO, recording, target)),
            "MNE": run(python(MNE, recording, target)),
        },
    )
    ours = found["ours: flushed, read back, SHA-256, proven"]
    print(f"  ours over cp: {ours.wall / found['cp'].wall:.2f} (target 1.2)")
    assert ours.peak is not None
    assert ours.peak < 48


@contextmanager
def mounted(system: str, size: int) -> Iterator[Path]:
    """A new file system of `size` bytes on a loop device; needs root and mkfs."""
    with tempfile.TemporaryDirectory(prefix="ecogvault-bench-") as folder:
        image, place = Path(folder) / "image", Path(folder) / "mounted"
        image.touch()
        os.truncate(image, size)
        place.mkdir()
        subprocess.run([f"mkfs.{system}", "-q", image], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("system", ["btrfs", "xfs"])
def test_where_blocks_can_be_shared_only_the_header_is_written(recording: Path, system: str) -> None:
    with mounted(system, 3 * SIZE + 512 * MIB) as place:
        source, target = place / "source.edf", place / "target.edf"
        subprocess.run(["cp", recording, source], check=True)

        took: dict[str, list[float]] = {"copy": [], "reflink": []}

        def run(how: str) -> Callable[[], Measured]:
            def once() -> Measured:
                target.unlink(missing_ok=True)
                os.sync()
                one = measure(python(OURS, source, target, how))
                took[how].append(float(one.output[1]))
                return one

            return once

        found = side_by_side(
            f"The same on {system}, on a loop device",
            {"ours, by copying": run("copy"), "ours, sharing blocks": run("reflink")},
        )
        shared = found["ours, sharing blocks"]
        milliseconds = min(took["reflink"])  # the least: a flush waits for what others write, too
        print(f"  copy made and flushed after {milliseconds:.1f} ms (target 50), the proof aside")
        assert shared.output[0] == found["ours, by copying"].output[0]
        assert milliseconds < 50
        assert shared.peak is not None
        assert shared.peak < 48
        with pyedflib.EdfReader(str(target)) as reader:
            assert reader.getPatientCode() == "df5c5206"
