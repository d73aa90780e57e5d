"""Bad input: a clear message with no name in it, a status that says so, and nothing half-written.

The table of settings shares one lab, and so does the table of exports: each case breaks one thing and mends it.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, Job, Lab, Run, make_lab, photograph

from ecogvault.naming import Unit
from ecogvault.sandbox.export import HARD_NAME, PLAIN_NAME

Break = Callable[[Lab], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def two(s3_server: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with two subjects, nothing run; every case leaves it as it was."""
    folder = tmp_path_factory.mktemp("bad") / "lab"
    lab = make_lab(folder, s3_server, prefix=f"t-{uuid.uuid4().hex[:12]}", people=(HARD_NAME, PLAIN_NAME))
    yield lab
    lab.end()
    lab.check()


def refused(run: Run, *words: str) -> None:
    """That a run failed with a line that says what is wrong, and without a traceback."""
    assert run.status != 0, run.output
    told = " ".join(run.output.split())
    for word in words:
        assert word in told, run.output
    assert "Traceback" not in run.output


# --- settings: refused before the first job --------------------------------------------------------------------------


@contextmanager
def configured(lab: Lab, **changes: Any) -> Iterator[None]:
    before = dict(lab.settings)
    lab.configure(**changes)
    try:
        yield
    finally:
        lab.settings = before
        lab.configure()


def settings(**changes: Any) -> Break:
    return lambda lab: configured(lab, **changes)


def destination(**changes: Any) -> Break:
    """The configuration with one more destination."""

    def broken(lab: Lab) -> AbstractContextManager[None]:
        extra = {**lab.settings["destinations"]["deep"], **changes}
        return configured(lab, destinations={**lab.settings["destinations"], "extra": extra})

    return broken


def recipients(change: Callable[[list[str]], list[str]]) -> Break:
    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        path = lab.folder / "recipients.txt"
        text = path.read_text()
        path.write_text("".join(change(text.splitlines(keepends=True))))
        try:
            yield
        finally:
            path.write_text(text)

    return broken


@contextmanager
def open_private_folder(lab: Lab) -> Iterator[None]:
    lab.paths.private.chmod(0o755)
    try:
        yield
    finally:
        lab.paths.private.chmod(0o700)


@contextmanager
def open_private_file(lab: Lab) -> Iterator[None]:
    (lab.paths.private / "subjects.tsv").chmod(0o644)
    try:
        yield
    finally:
        (lab.paths.private / "subjects.tsv").chmod(0o600)


@contextmanager
def git_work_tree(lab: Lab) -> Iterator[None]:
    subprocess.run(["git", "init", "-q", lab.folder], check=True)
    try:
        yield
    finally:
        shutil.rmtree(lab.folder / ".git")


@contextmanager
def policy_that_keeps_a_date(lab: Lab) -> Iterator[None]:
    path = lab.folder / "own.yaml"
    text = (ROOT / "config" / "policies" / "lab.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("startdate: SHIFT\nstarttime", "startdate: KEEP\nstarttime"), encoding="utf-8")
    try:
        with settings(policy="own.yaml", dates="shift")(lab):
            yield
    finally:
        path.unlink()


SETTINGS: dict[str, tuple[Break, tuple[str, ...]]] = {
    "a misspelt key": (settings(recipient="a.txt"), ("recipient: there is no such key", "did you mean 'recipients'?")),
    "a destination of a type that there is not": (
        destination(type="tape"),
        ("destinations.extra.type must be one of s3, ",),
    ),
    "video that would leave plain": (
        destination(form="files", encrypt={"vid": False}),
        ("destinations.extra.encrypt.vid must be true",),
    ),
    "a recipient that is none": (
        recipients(lambda lines: [*lines, "age1thisisnorecipient\n"]),
        ("recipients.txt, line 3",),
    ),
    "a secret key among the recipients": (
        recipients(lambda lines: [*lines, "AGE-SECRET-KEY-1QQQ\n"]),
        ("recipients.txt, line 3", "secret"),
    ),
    "only one recipient": (recipients(lambda lines: lines[:1]), ("recipients.txt", "at least two")),
    "a policy that is not there": (
        settings(policy="labb"),
        ("there is no policy 'labb': name lab or limited-dataset",),
    ),
    "a policy that keeps a date that is to be shifted": (
        policy_that_keeps_a_date,
        ("policy own keeps startdate as it is, but dates are to be shifted",),
    ),
    "a private folder that others may enter": (open_private_folder, ("private is open to others", "chmod -R go= ")),
    "a private file that others may read": (open_private_file, ("subjects.tsv in private is open to others",)),
    "a private folder that git would take": (git_work_tree, ("private lies in a git work tree and is not ignored",)),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_bad_settings_are_refused_before_the_first_job(two: Lab, case: str) -> None:
    broken, words = SETTINGS[case]
    before = two.tree()
    with broken(two):
        inside = two.tree()
        run = two.snakemake(check=False)
        refused(run, *words)
        assert run.jobs == []
        assert two.tree() == inside
    assert photograph(two.paths.private) == {
        path.removeprefix("private/"): facts for path, facts in before.items() if path.startswith("private/")
    } | {".": before["private"]}


# --- exports: one subject is stopped, the other goes on --------------------------------------------------------------


@contextmanager
def exported(lab: Lab, change: Callable[[Lab, Path, Path], None]) -> Iterator[None]:
    """Change the raw files of HARD_NAME's one session (EDF and folder), and put all back as it was."""
    hospital, kept = lab.export.folder, lab.folder.parent / "hospital"
    subprocess.run(["cp", "-a", hospital, kept], check=True)
    (session,) = lab.export.of(HARD_NAME)
    assert session.edf is not None
    assert session.folder is not None
    change(lab, session.edf, session.folder)
    try:
        yield
    finally:
        shutil.rmtree(hospital, ignore_errors=True)
        kept.rename(hospital)


def export(change: Callable[[Lab, Path, Path], None]) -> Break:
    return lambda lab: exported(lab, change)


def unreadable(lab: Lab, edf: Path, folder: Path) -> None:
    edf.write_bytes(b"This is no recording. " * 100)


def truncated(lab: Lab, edf: Path, folder: Path) -> None:
    os.truncate(edf, edf.stat().st_size - 10_000)


def truncated_header(lab: Lab, edf: Path, folder: Path) -> None:
    os.truncate(edf, 300)


def emptied(lab: Lab, edf: Path, folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def colliding(lab: Lab, edf: Path, folder: Path) -> None:
    (folder / f"Another~ {HARD_NAME.surname}_0001.avi").write_bytes(b"RIFF")


def foreign(lab: Lab, edf: Path, folder: Path) -> None:
    others = lab.export.of(PLAIN_NAME)[0].edf
    assert others is not None
    shutil.copy2(others, edf)


EXPORTS: dict[str, tuple[Break, tuple[str, ...]]] = {
    "an unreadable EDF": (export(unreadable), ("item i", "neither EDF nor BDF")),
    "an EDF cut within its header": (export(truncated_header), ("item i", "ends within its header")),
    "a truncated EDF": (export(truncated), ("recording i", "truncated: 66384 of 76384 bytes")),
    "an empty session folder": (export(emptied), ("session folder i", "is empty", "--exclude i")),
    "two raw names for one coded name": (export(colliding), ("files i", "would get one coded name")),
    "an item of somebody else's": (export(foreign), ("item i", "names another person in its header", "--exclude i")),
}


@pytest.mark.parametrize("case", EXPORTS)
def test_a_bad_export_stops_its_subject_and_no_other(two: Lab, case: str) -> None:
    broken, words = EXPORTS[case]
    bad, good = two.code(HARD_NAME), two.code(PLAIN_NAME)
    shutil.rmtree(two.paths.results, ignore_errors=True)
    with broken(two):
        planned = two.dry_run("--", "order")
        run = two.snakemake("--", "order", check=False)
        refused(run, f"{bad} is stopped: ", *words)
        assert set(run.jobs) == set(planned)
        assert Job("refuse_subject", bad) in run.jobs
        slips = {path.name.split(".")[0] for path in two.paths.slips(good).iterdir()}
        assert slips == {f"{good}_1_{kind}" for kind in ("edf", "sync", "vid")}
        assert [path for path in two.paths.subject(bad).rglob("*") if path.is_file()] == []
        assert not two.paths.sessions(bad).exists()


def test_a_raw_folder_that_is_missing_before_anything_was_accepted_stops_its_subject(two: Lab, tmp_path: Path) -> None:
    """Another person, whose folder is unmounted after they were registered."""
    stranger = two.export.stranger
    assert stranger is not None
    folder = tmp_path / "mounted"
    folder.mkdir()
    two.register(stranger, folder)
    folder.rmdir()
    code = two.code(stranger)
    refused(
        two.snakemake("--", "order", check=False), f"{code} is stopped: raw folder 1 of {code} is not there", "mount it"
    )
    folder.mkdir()
    assert "is stopped" not in two.snakemake("--", "order").output


# --- while it runs ---------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_stops_its_destination_and_no_other(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "edf")
    lab.paths.receipt("nas", unit).unlink()
    with destination(bucket="no-such-bucket", kinds=["edf"])(lab):
        run = lab.snakemake(check=False)
        refused(run, f"upload_unit {unit.code}", "no-such-bucket")
        assert set(run.jobs) == {Job("upload_unit", str(unit), "extra"), Job("upload_unit", str(unit), "nas")}
        assert lab.paths.receipt("nas", unit).exists()
        assert not lab.paths.receipt("extra", unit).exists()
        assert "--verbose" not in run.output


def test_without_credentials_the_run_says_so_and_what_to_set(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "edf")
    lab.paths.ledger("deep", unit).unlink()
    lab.paths.receipt("deep", unit).unlink()
    lab.environment |= {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    run = lab.snakemake(check=False)
    refused(run, f"upload_unit {unit.code}", "credentials")
    assert run.jobs == [Job("upload_unit", str(unit), "deep")]
    lab.environment.clear()
    lab.snakemake()
    assert lab.paths.receipt("deep", unit).exists()


def test_no_space_left_while_sealing_leaves_no_tarball_and_the_rerun_succeeds(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "vid")
    (lab.folder / "sealed").mkdir()
    extra = {**lab.settings["destinations"]["deep"], "kinds": ["vid"]}
    lab.configure(sealed={"path": "sealed"}, destinations={**lab.settings["destinations"], "extra": extra})
    # A file system of 32 KiB that only this command sees, gone with its end.
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    script = 'mount -t tmpfs -o size=32k tmpfs sealed && "$@"; status=$?; find sealed -type f; exit $status'
    run = lab.snakemake(check=False, prefix=[*namespace, "sh", "-c", script, "-"])
    refused(run, f"seal_unit {unit.code}", "make room, then run again")
    assert [job for job in run.of("upload_unit") if job.unit == str(unit)] == []
    left = [line for line in run.output.splitlines() if line.startswith("sealed/") and not line.endswith(".lock")]
    assert [path for path in left if str(unit) in path or path.endswith(".part~")] == []
    lab.snakemake()
    assert lab.paths.sealed(unit).exists()
    assert lab.paths.receipt("extra", unit).exists()


def test_a_group_that_the_user_is_not_in_is_refused(two: Lab) -> None:
    # As root: somebody else who may write everywhere, but has root's groups no more.
    rights = "+dac_override,+dac_read_search,+fowner,+chown"
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={rights}"]
    prefix = [*somebody, f"--ambient-caps={rights}"] if os.geteuid() == 0 else []
    shutil.rmtree(two.paths.results, ignore_errors=True)
    with configured(two, group="daemon"):
        run = two.snakemake("--", "order", check=False, prefix=prefix)
        refused(run, "group: you are not in the group 'daemon'", "ask to be added")
        assert not [path for path in two.paths.results.rglob("*") if path.is_file()]
    with configured(two, group="no-such-group"):
        refused(two.snakemake("--", "order", check=False), "group: this machine has no group 'no-such-group'")


def test_a_restore_of_what_is_not_there_is_refused_by_name(two: Lab) -> None:
    def asked(*words: str) -> Run:
        run = two.snakemake("--config", *words, "--", "restore", check=False)
        assert run.jobs == [Job("refuse_restore", "")]
        assert not list((two.folder / "restored").glob("*"))
        return run

    refused(asked("unit=b0000000_1_vid", "from=deep"), "no ledger of deep knows a unit that was asked for")
    refused(asked("unit=b0000000_1_vid", "from=elsewhere"), "there is no destination 'elsewhere'")
    refused(asked("unit=b0000000_1_vid"), "no ledger knows a unit that was asked for")
    refused(asked("from=deep"), "restore needs to know what")
