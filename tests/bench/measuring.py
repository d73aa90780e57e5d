"""What the benchmarks share: made-up data in memory, rivals as processes, medians and ratios in a table.

ECOGVAULT_BENCH_MIB is the size of each set of data (1024), ECOGVAULT_BENCH_TIMES how often each is measured (3).
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

MIB = 1024 * 1024
SIZE = int(os.environ.get("ECOGVAULT_BENCH_MIB", "1024")) * MIB
TIMES = int(os.environ.get("ECOGVAULT_BENCH_TIMES", "3"))
ROOT = Path(__file__).parents[2]

# Peak memory is the process' own: ru_maxrss is inherited from whoever starts it.
OWN_PEAK = 'print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])\n'


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds of a process and all that it started, peak memory in MiB where it says so, bytes made.

    `work` is the wall time without the start of Python and the loading of modules, where a process says so.
    `others` is how many cores other programs had meanwhile: above 0.1 the wall time is not to be relied upon.
    """

    wall: float
    cpu: float
    peak: float | None
    made: int
    others: float
    work: float | None = None


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A new folder in memory, so that no disk is measured; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ecogvault-bench-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def noise(folder: Path, size: int = SIZE, files: int = 4) -> None:
    """Files that do not compress, as video and encrypted files do not."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(1)
    for number in range(files):
        with open(folder / f"df5c5206_3_{number:04}.avi", "wb") as stream:
            for _ in range(0, size // files, 16 * MIB):
                stream.write(generator.bytes(min(16 * MIB, size // files)))


def ecog(folder: Path, size: int = SIZE) -> None:
    """One file of int16 as in an EDF: 128 channels in records of a second, each a slow wave with noise upon it."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(2)
    channels, rate = 128, 1024
    record = channels * rate * 2
    with open(folder / "df5c5206_3.edf", "wb") as stream:
        level = np.zeros((channels, 1))
        for start in range(0, size, record):
            steps = generator.normal(0, 12, (channels, rate)).cumsum(axis=1)
            wave = level + steps - steps[:, -1:] * np.linspace(0, 0.9, rate)
            level = 0.98 * wave[:, -1:]
            samples = (wave + generator.normal(0, 4, wave.shape)).clip(-32768, 32767).astype("<i2")
            stream.write(samples.tobytes()[: size - start])


def warm_memory(folder: Path, size: int) -> None:
    """Write `size` bytes into memory and free them.

    A virtual machine gives pages that lie idle back to its host, and gets them again at a quarter of the speed of
    memory: whoever writes first would pay for all.
    """
    path = folder / "warm"
    piece = bytes(range(256)) * (MIB // 256)
    with open(path, "wb", buffering=0) as stream:
        for _ in range(0, size, MIB):
            stream.write(piece)
    path.unlink()


def measure(command: str, cwd: Path, made: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run a shell command. Fails when it fails.

    The last number that it prints is its peak memory in KiB, one with a point before it the seconds of its work.
    """
    busy, started = busy_seconds(), time.monotonic()
    with subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")} | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))  # type: ignore[union-attr]
        reader.start()
        out = process.stdout.read()
        reader.join()
        _, status, used = os.wait4(process.pid, 0)
        wall, busy = time.monotonic() - started, busy_seconds() - busy
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: {errors[0].decode(errors='replace')}"
    *before, last = [b"", b"", *out.split()]
    peak = int(last) / 1024 if last.isdigit() else None
    work = float(before[-1]) if peak is not None and b"." in before[-1] else None
    cpu = used.ru_utime + used.ru_stime
    return Measured(wall, cpu, peak, size_of(made), max(0.0, (busy - cpu) / wall), work)


def busy_seconds() -> float:
    """CPU seconds that all programs of this machine have used so far. Source: proc(5), /proc/stat."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def python(script: str, *words: object) -> str:
    """The command that runs `script` in a Python of its own, and then tells its peak memory."""
    quoted = " ".join(f"'{word}'" for word in words)
    return f"'{sys.executable}' -c '{script}{OWN_PEAK}' {quoted}"


def size_of(path: Path) -> int:
    """Bytes below `path`."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Timed(Protocol):
    """What was measured, among it the wall time in seconds."""

    @property
    def wall(self) -> float: ...


_M = TypeVar("_M", bound=Timed)


def medians(contenders: Mapping[str, Callable[[], _M]], times: int = TIMES) -> dict[str, _M]:
    """Measure all `times` times, in turns; for each the run with the median wall time."""
    runs: dict[str, list[_M]] = {name: [] for name in contenders}
    for _ in range(times):
        for name, run in contenders.items():
            runs[name].append(run())
    return {
        name: next(one for one in each if one.wall == statistics.median_low(run.wall for run in each))
        for name, each in runs.items()
    }


def side_by_side(
    title: str, size: int, contenders: Mapping[str, Callable[[], Measured]], *, times: int = TIMES
) -> dict[str, Measured]:
    """Measure all `times` times, in turns, and print the medians; returns for each the run with the median wall time.

    The ratio is how many times faster the first one is: all of its process, and its work alone.
    """
    found = medians(contenders, times)
    first = next(iter(found.values()))
    print(f"\n{title} ({size / MIB:.0f} MiB, median of {times})")
    head = f"{'s':>7} {'GB/s':>6} {'CPU s':>7} {'peak MiB':>9} {'size':>6} {'others':>7} {'ratio':>6} {'work':>6}"
    print(f"  {'':34} {head}")
    for name, one in found.items():
        peak = f"{one.peak:.0f}" if one.peak is not None else ""
        work = f"{one.wall / first.work:.2f}" if first.work is not None and one is not first else ""
        print(
            f"  {name:34} {one.wall:7.2f} {size / one.wall / 1e9:6.2f} {one.cpu:7.2f} {peak:>9}"
            f" {one.made / size:6.3f} {one.others:7.2f} {one.wall / first.wall:6.2f} {work:>6}"
        )
        if one.work is not None:
            print(f"  {'  without its start':34} {one.work:7.2f} {size / one.work / 1e9:6.2f}")
    return found
