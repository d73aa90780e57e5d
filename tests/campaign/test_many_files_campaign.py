"""A session folder of 100,000 files, ordered and linked by the real commands in under a minute: `make campaign`.

ECOGVAULT_FILES is how many. Order and link are what the lab waits for; scan and upload follow at the disk's pace.
"""

import os
import random
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ecogvault.age import generate
from ecogvault.config import load
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.person import Person
from ecogvault.sandbox.made_natus import header_bytes

ROOT = Path(__file__).parents[2]
FILES = int(os.environ.get("ECOGVAULT_FILES", "100000"))
SECONDS = 60
PERSON = Person("Quellmotz", "Mirx", (), "00812")
CREATED = datetime(2002, 3, 2, 20, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with a configuration, a made-up person's export of one session folder, and keys."""
    raw = tmp_path / "raw" / "Quellmotz 1"
    raw.mkdir(parents=True)
    for number in range(FILES):
        place = raw if number < 10_000 else raw / f"sub {number % 50}"
        place.mkdir(exist_ok=True)
        name = f"Quellmotz 1_{number:04d}.avi" if number < 10_000 else f"picture of Mirx {number}.png"
        path = place / name
        path.write_bytes(b"RIFF%d" % number)
        path.chmod(0o640)
    (raw / "Quellmotz 1.eeg").write_bytes(header_bytes("eeg", PERSON, CREATED, random.Random(1)))
    (raw / "Quellmotz 1.eeg").chmod(0o640)
    (tmp_path / "recipients.txt").write_text("".join(f"{generate(classic=True).recipient()}\n" for _ in range(2)))
    (tmp_path / "nas").mkdir()
    settings = {
        "recipients": "recipients.txt",
        "signers": "signers.txt",
        "destinations": {"nas": {"type": "folder", "zone": "inside", "form": "files", "path": "nas"}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    person = {"surname": PERSON.surname, "given": PERSON.given, "mrn": PERSON.mrn, "raw": str(tmp_path / "raw")}
    (tmp_path / "person.yaml").write_text(yaml.safe_dump(person))
    (tmp_path / "person.yaml").chmod(0o600)
    return tmp_path


def run(folder: Path, *words: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_hundred_thousand_files_are_ordered_and_linked_in_a_minute(lab: Path) -> None:
    ecogvault = ("ecogvault", "--config", "config.yaml")
    code = run(lab, *ecogvault, "register", "--person", "person.yaml").split()[-1]
    began = time.monotonic()
    run(lab, *ecogvault, "order", code, "--accept")
    ordered = time.monotonic()
    manifest = f"results/{code}/manifest/{code}_1_vid.tsv"
    run(lab, "snakemake", "-s", str(ROOT / "Snakefile"), "--configfile", "config.yaml", "--cores", "2", "--", manifest)
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{FILES} files: accepted in {ordered - began:.1f} s, ordered and linked in {ended - ordered:.1f} s")
    print(f"CPU of all commands: {used.ru_utime + used.ru_stime:.1f} s")
    paths = Paths.of(load(lab / "config.yaml"))
    listed = Manifest.read(lab / paths.manifest(Unit(code, 1, "vid")))
    assert len(listed) == FILES + 1
    place = lab / paths.subject(code)
    assert all((place / entry.path).stat().st_nlink == 2 for entry in listed)
    assert ended - began < SECONDS
