"""The graph on a real Slurm cluster of one machine, by `snakemake --profile profiles/slurm`."""

import base64
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import slurm as cluster
from lab import ROOT, Lab
from slurm import Slurm, wait_until

from ecogvault.intake.assignment import read_sessions
from ecogvault.naming import Unit
from ecogvault.sandbox.export import HARD_NAME, Session
from leaks import LeakCheck

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

PASSPHRASE = "seven sober walruses waltz"
# Logs of jobs that went well are kept, so that they are looked through as well.
ON_SLURM = ("--profile", ROOT / "profiles/slurm", "--slurm-keep-successful-logs")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    """A cluster of this machine alone."""
    with cluster.running(tmp_path / "slurm") as started:
        yield started


def parts(session: Session) -> list[Path]:
    """What a session consists of."""
    return [part for part in (session.edf, session.folder, session.snc, session.vtc) if part is not None]


def move(paths: Iterable[Path], source: Path, target: Path) -> None:
    """Move paths below `source` to the same places below `target`."""
    for path in paths:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place)


def secrets_in(lab: Lab, text: str) -> list[str]:
    """What of the lab's secrets a text holds."""
    hash_key = (lab.paths.private / "hash.key").read_bytes()
    secrets = {
        "S3 key id": [lab.server["aws_access_key_id"]],
        "S3 secret key": [lab.server["aws_secret_access_key"]],
        "passphrase": [PASSPHRASE],
        "age identity": ["AGE-SECRET-KEY-"],
        "private key": ["PRIVATE KEY-----"],
        "hash key": [hash_key.hex(), base64.b64encode(hash_key).decode()],
    }
    # Snakemake hands words to jobs in base64, so that no shell changes them.
    plain = [base64.b64decode(word).decode() for word in re.findall(r"base64//([A-Za-z0-9+/=]+)", text)]
    whole = "\n".join([text, *plain])
    return [name for name, forms in secrets.items() if any(form in whole for form in forms)]


def test_the_line_runs_on_slurm_where_no_name_or_secret_is_seen_and_a_late_session_shifts_no_number(
    make: Callable[..., Lab], slurm: Slurm, tmp_path: Path
) -> None:
    lab = make(people=(), sessions=3)
    lab.environment |= slurm.environment
    (lab.folder / "passphrase").write_text(PASSPHRASE)
    (lab.folder / "passphrase").chmod(0o600)
    destinations = {name: lab.settings["destinations"][name] for name in ("s3", "deep")}
    destinations["deep"]["kinds"] = ["edf"]
    destinations["s3"]["kinds"] = ["vid", "sync"]
    lab.configure(destinations=destinations, age_passphrase_file="passphrase")
    first, second, _ = lab.export.of(HARD_NAME)
    hospital, aside = lab.export.folder, tmp_path / "aside"
    move([*parts(first), *parts(second)], hospital, aside)
    lab.register(HARD_NAME)
    code = lab.code()
    units = [Unit(code, 1, kind) for kind in ("edf", "sync", "vid")]

    slurm.hold()
    run = lab.start(*lab.snakemake_command(*ON_SLURM))
    wait_until(lambda: bool(run.poll()) or len(slurm.jobs("PENDING")) == len(units), "a job of each unit waits")
    frozen = read_sessions(lab.paths, code)
    # Its start is before everything that was there: numbered now, it would be number 1. And of one more there is only
    # an empty folder yet: whoever looked at the raw folder now would take nothing of this person.
    move([aside / path.relative_to(hospital) for path in parts(first)], aside, hospital)
    assert second.folder is not None
    second.folder.mkdir()
    lab.note_raw()
    slurm.go_on()
    lab.wait(run)

    assert lab.units() == sorted(units)
    receipts = {str(path.relative_to(lab.paths.results / code)) for path in lab.paths.results.glob("*/receipts/*/*")}
    assert receipts == {f"receipts/{'deep' if unit.kind == 'edf' else 's3'}/{unit}.json" for unit in units}
    assert read_sessions(lab.paths, code) == frozen
    second.folder.rmdir()
    lab.note_raw()
    late = lab.dry_run()
    assert {job.unit for job in late} == {f"{code}_2_{kind}" for kind in ("edf", "sync", "vid")}
    lab.configure(accept="manual")
    assert lab.dry_run() == []

    done = slurm.jobs("COMPLETED")
    assert len(done) == 3 * len(units) + 1  # de-identify, scan and upload each, and seal one
    seen = {"scontrol show job": slurm.description()}
    seen |= {f"script of job {job}": slurm.script(job) for job in done}
    seen |= {str(log.relative_to(lab.folder)): log.read_text() for log in lab.folder.glob("logs/**/*.log")}
    seen |= {str(log.relative_to(lab.folder)): log.read_text() for log in lab.folder.glob(".snakemake/log/*")}
    assert len(seen) > 3 * len(done)  # the script, the cluster's log and the rule's log of each job
    assert all(f"rule_{rule}_wildcards_{code}" in seen["scontrol show job"] for rule in ("scan_unit", "seal_unit"))
    names = LeakCheck([lab.export.stranger, *lab.export.patients], own_words=set(destinations))
    assert [leak for where, text in seen.items() for leak in names.text(where, text)] == []
    assert [(where, name) for where, text in seen.items() for name in secrets_in(lab, text)] == []
    # Where Slurm keeps the keys for a job that waits, only its own user can read them; and secrets_in() can find them.
    kept = list(slurm.folder.glob("state/hash.*/job.*/environment"))
    assert len(kept) == len(done)
    for path in kept:
        assert secrets_in(lab, path.read_text(errors="replace")) == ["S3 key id", "S3 secret key"]
        assert path.stat().st_mode & 0o077 == 0


def test_a_job_that_fails_on_the_cluster_and_one_that_the_cluster_ends_are_in_the_closing_summary(
    lab: Lab, slurm: Slurm, tmp_path: Path
) -> None:
    lab.environment |= slurm.environment
    edf, sync = (Unit(lab.code(), 1, kind) for kind in ("edf", "sync"))
    targets = [lab.paths.manifest(unit).relative_to(lab.folder) for unit in (edf, sync)]
    slurm.hold()
    started = lab.start(*lab.snakemake_command(*ON_SLURM, "--", *targets))
    wait_until(lambda: bool(started.poll()) or len(slurm.jobs("PENDING")) == 2, "both jobs wait")
    (session,) = lab.export.of(HARD_NAME)
    assert session.edf is not None
    move([session.edf], lab.export.folder, tmp_path / "aside")
    lab.note_raw()
    slurm.cancel(f"rule_deidentify_sync_wildcards_{sync}")
    slurm.go_on()
    run = lab.wait(started, check=False)

    assert run.status == 1
    failed = dict(re.findall(r"failed: deidentify_\w+ (\S+): (.+) \(log: .+\)", "\n".join(run.ours)))
    assert failed[str(sync)] == "the cluster ended it: CANCELLED"
    assert "raw" in failed[str(edf)]
