"""A session folder of 10,000 files, by the real command: what was sent costs no request and no time again."""

import os
import time
from pathlib import Path

import pytest
from lab import Lab, make_lab

from ecogvault import ledger
from ecogvault.naming import Unit
from ecogvault.sandbox.export import HARD_NAME
from ecogvault.sandbox.servers import running
from faults import faulty

pytestmark = pytest.mark.slow

COUNT = 10_000


def fill(lab: Lab) -> Path:
    """Give the session as many files as a long one has; returns one of them."""
    folder = lab.export.of(HARD_NAME)[0].folder
    assert folder is not None
    video = next(path for path in sorted(folder.iterdir()) if path.name.endswith("_0001.avi"))
    status = video.stat()
    for number in range(COUNT):
        path = video.with_name(video.name.replace("_0001.avi", f"_{number:04d}.png"))
        path.write_bytes(b"picture %d" % number)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    lab.note_raw()
    return path


def test_a_second_run_over_10000_files_asks_for_none_and_takes_under_10_seconds(tmp_path: Path) -> None:
    with running(tmp_path / "sandbox", only=["s3"]) as services:
        lab = make_lab(tmp_path / "lab", services.s3, prefix="many", people=())
        last = fill(lab)
        lab.register(HARD_NAME)
        with faulty(services.s3["endpoint_url"], 1, rate=0) as proxy:
            s3 = lab.settings["destinations"]["s3"] | {"endpoint_url": proxy.endpoint_url}
            lab.configure(destinations={"s3": s3})
            lab.snakemake("upload")
            unit = Unit(lab.code(), 1, "vid")
            (copy,) = ledger.copies(lab.paths.ledger("s3", unit)).values()
            assert len(copy.objects) > COUNT
            assert proxy.done["passed on"] < COUNT + 200

            proxy.done.clear()
            began = time.monotonic()
            again = lab.snakemake("upload")
            took = time.monotonic() - began
            assert "Nothing to be done" in again.output
            assert took < 10
            assert not proxy.done

            last.write_bytes(b"another picture")
            lab.note_raw()
            began = time.monotonic()
            lab.snakemake("upload")
            print(f"second run {took:.1f} s, one changed file {time.monotonic() - began:.1f} s")
            assert proxy.done["passed on"] < 50
            newest = ledger.newest_copy(lab.config, unit, "s3")
            assert newest.generation == 2
            assert len(newest.objects) == len(copy.objects)
        lab.check()
