"""Raw files that were copied again without their times: `ecogvault refresh` tells them from changed ones."""

import os
from pathlib import Path

from lab import Lab

from ecogvault.naming import Unit
from ecogvault.sandbox.export import HARD_NAME


def touch(folder: Path, seconds: int) -> None:
    """Give all files of a raw export another time."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (seconds, seconds))


def test_a_copy_without_its_times_is_not_made_again_and_a_changed_one_is(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    touch(lab.export.folder, 1_800_000_000)
    lab.note_raw()
    assert {job.unit for job in lab.dry_run("order")} == {str(unit) for unit in lab.units()}

    said = lab.ecogvault("refresh", code).output
    assert [line for line in said.splitlines() if "new times, old content" in line] == [
        f"{unit}: new times, old content: nothing is made or sent again" for unit in lab.units()
    ]
    assert lab.dry_run() == []
    assert "5 unit(s) have the sizes and times that are recorded" in lab.ecogvault("refresh", code).output

    # A job that makes a slip looks at the files themselves, and takes what was refreshed for what was recorded.
    (slip,) = lab.paths.slips(code).glob(f"{code}_2_vid.*.json")
    before = slip.read_bytes()
    slip.unlink()
    lab.snakemake("order")
    assert slip.read_bytes() == before

    # Copied once more; meanwhile one byte of a recording has changed, and the results have lost a manifest.
    touch(lab.export.folder, 1_800_000_060)
    recording = lab.export.of(HARD_NAME)[0].edf
    assert recording is not None
    times = recording.stat()
    with open(recording, "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))
    os.utime(recording, ns=(times.st_atime_ns, times.st_mtime_ns))
    lab.note_raw()
    lab.paths.manifest(Unit(code, 2, "sync")).unlink()
    run = lab.ecogvault("refresh", code, check=False)
    assert run.status == 1
    told = dict(line.split(": ", 1) for line in run.output.splitlines() if line.startswith(code + "_"))
    assert {unit.removeprefix(code): line.split(";")[0].split(":")[0] for unit, line in told.items()} == {
        "_1_edf": f"differs in edf/{code}_1.edf",
        "_1_sync": "new times, old content",
        "_1_vid": "new times, old content",
        "_2_sync": "cannot be told",
        "_2_vid": "new times, old content",
    }
    assert {job.unit for job in lab.dry_run("order")} == {f"{code}_1_edf", f"{code}_2_sync"}
