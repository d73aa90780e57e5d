"""A whole lab in a temporary folder: a small hospital export, keys, configuration, buckets, and the real commands.

What a test needs is at the top of `Lab`. After each test, failed ones too, `Lab.check` proves what holds whatever was
tested: no name where none may be, the raw export as it was, nothing half-written, no unfinished upload.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import yaml
from botocore.config import Config as ClientConfig
from clouds import AzureAccount

from ecogvault import config as configuration
from ecogvault import registry
from ecogvault.age import generate, write_identity_file
from ecogvault.config import Config
from ecogvault.files import TEMPORARY_SUFFIX
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.person import Person
from ecogvault.private import open_private
from ecogvault.records import read_journal
from ecogvault.sandbox.export import HARD_NAME, Export, make_export, write_person_files
from leaks import Leak, LeakCheck, Stored, walk

ROOT = Path(__file__).parents[2]
TARGETS = frozenset("all order deidentify seal upload restore".split())  # rules that only ask for others
SECONDS = 240  # after which a command is taken to hang
_JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .+\n)*)", re.MULTILINE)
# The vendor's own files, which hold names in their bytes, never in their names.
_VENDOR = re.compile(
    r"(results/[^/]+/vid|restored/[^/]+/[^/]+/vid|restored/[^/]+/[^/]+_old|modernised|nas/(superseded/g\d+/)?video)/.+"
)


class Job(NamedTuple):
    """One job: its rule, its unit (or code; empty for actions) and, for uploads and restores, the destination."""

    rule: str
    unit: str
    destination: str = ""


@dataclass(frozen=True)
class Run:
    """A command that has ended. `output` is standard output and standard error as they came, `jobs` what it started.

    Of a dry run `jobs` is what is planned.
    """

    status: int
    output: str
    jobs: list[Job]

    @property
    def units(self) -> set[str]:
        """Every unit that a job was about."""
        return {job.unit for job in self.jobs}

    def of(self, rule: str) -> list[Job]:
        """The jobs of one rule."""
        return [job for job in self.jobs if job.rule == rule]

    @property
    def ours(self) -> list[str]:
        """The lines that this program said, without its name before them."""
        return [line.removeprefix("ecogvault: ") for line in self.output.splitlines() if line.startswith("ecogvault: ")]


def jobs_in(output: str) -> list[Job]:
    """The jobs that Snakemake's output tells of, planned or started, in its order, without mere targets."""
    jobs = []
    for rule, block in _JOB.findall(output):
        words = dict(re.findall(r"(\w+)=([^\s,]+)", "".join(re.findall(r"    wildcards: (.+)\n", block))))
        if rule in TARGETS:
            continue
        unit = f"{words['code']}_{words['n']}_{words['kind']}" if "n" in words else words.get("code", "")
        jobs.append(Job(rule, unit, words.get("destination", "")))
    return jobs


@dataclass
class Lab:
    """The lab in `folder`: hospital/ (raw), people/, private/, results/, restored/, nas/, keys, config.yaml.

    `settings` is what config.yaml says: change it and call `configure()`, or call `configure(key=value)`. `export` is
    what make_export made, `server` the details of the S3 server, `azure` the Azure account where there is one,
    `environment` what commands find in theirs beside the usual (None takes a variable away), `project` where the
    Snakefile lies (see own_project). A test that changes raw
    files on purpose calls `note_raw()` afterwards. One that leaves something half-written on purpose sets
    `may_be_unfinished`.
    """

    folder: Path
    server: Mapping[str, Any]
    export: Export
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    azure: AzureAccount | None = None
    project: Path = ROOT
    may_be_unfinished: bool = False
    runs: list[Run] = field(default_factory=list)
    _started: list["subprocess.Popen[str]"] = field(default_factory=list)
    _raw: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    # --- commands -----------------------------------------------------------------------------------------------------

    def snakemake(self, *args: str | Path, check: bool = True, prefix: Sequence[str] = ()) -> Run:
        """Run the real Snakemake on two cores, in the lab's folder; with `check`, its success is demanded.

        Targets come after "--" when `--config key=value` is among the words. `prefix` is put before the command, as
        setpriv with its options.
        """
        return self.run(*prefix, *self.snakemake_command(*args), check=check)

    def dry_run(self, *args: str | Path) -> list[Job]:
        """What `snakemake -n` plans, in its order."""
        return self.snakemake("--dry-run", *args).jobs

    def ecogvault(self, *args: str | Path, input: str | None = None, check: bool = True) -> Run:
        """Run the command `ecogvault` with the lab's configuration."""
        program = Path(sys.executable).with_name("ecogvault")
        return self.run(program, "--config", "config.yaml", *args, input=input, check=check)

    def snakemake_command(self, *args: str | Path) -> list[str | Path]:
        """The words of the command."""
        fixed = [sys.executable, "-m", "snakemake", "-s", self.project / "Snakefile", "--configfile", "config.yaml"]
        return [*fixed, "--cores", "2", *args]

    def run(self, *words: str | Path, input: str | None = None, check: bool = True) -> Run:
        """Run any command in the lab's folder and environment, to its end."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment(),
            input=input or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",
            timeout=SECONDS,
            check=False,
        )
        return self._note(done.returncode, done.stdout, check=check)

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        """Start a command (see snakemake_command) in a process group of its own; `wait` for it, or `kill` it."""
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def own_project(self) -> Path:
        """Have the lab run a copy of the project, which the test may edit. Returns its folder."""
        self.project = self.folder / "project"
        for name in ("Snakefile", "rules", "scripts", "config", "profiles", "envs"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            self.project.mkdir(exist_ok=True)
            copy(ROOT / name, self.project / name)
        return self.project

    def wait(self, process: "subprocess.Popen[str]", *, check: bool = True) -> Run:
        """The end of a started command."""
        output, _ = process.communicate(timeout=SECONDS)
        return self._note(process.returncode, output, check=check)

    def kill(self, process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> Run:
        """Send a signal to a started command and all that it started, and wait for it to end.

        What is half-written then may stay: `may_be_unfinished` is set when the signal is SIGKILL.
        """
        self.may_be_unfinished = self.may_be_unfinished or number == signal.SIGKILL
        os.killpg(process.pid, number)
        return self.wait(process, check=False)

    def _note(self, status: int, output: str, *, check: bool) -> Run:
        run = Run(status, output, jobs_in(output))
        self.runs.append(run)
        if check:
            assert status == 0, f"status {status}\n{output}"
        return run

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TMPDIR", "TZ")}
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        given = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "PYTHONPATH": str(ROOT / "scripts"),  # what is tested is this tree, whatever is installed
            "AWS_ACCESS_KEY_ID": self.server["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self.server["aws_secret_access_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "2",
            **({"AZURE_STORAGE_CONNECTION_STRING": self.azure.connection_string} if self.azure else {}),
            **self.environment,
        }
        return kept | {name: value for name, value in given.items() if value is not None}

    # --- people and configuration -------------------------------------------------------------------------------------

    def register(self, person: Person, raw: Path | None = None, *options: str, check: bool = True) -> Run:
        """Register a person with the export (or another raw folder), as the README has it."""
        (written,) = write_person_files(self.folder / "people", [person])
        with open(written, "a", encoding="utf-8") as stream:
            yaml.safe_dump({"raw": str(raw or self.export.folder)}, stream, allow_unicode=True)
        return self.ecogvault("register", "--person", written, *options, check=check)

    def code(self, person: Person = HARD_NAME) -> str:
        """The code of a registered person."""
        subjects = registry.load(open_private(self.config))
        return next(one.code for one in subjects if one.person.mrn == person.mrn)

    def configure(self, **changes: Any) -> None:
        """Write config.yaml, with these top-level keys changed."""
        self.settings |= changes
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.settings, sort_keys=False), encoding="utf-8")

    @property
    def config(self) -> Config:
        """The configuration with absolute paths, for asking the library."""
        keys = ("results", "private", "recipients", "signers", "age_identity")
        absolute = {key: str(self.folder / str(self.settings[key])) for key in keys}
        absolute["restored"] = str(self.folder / "restored")
        sealed = {**self.settings.get("sealed", configuration.DEFAULTS["sealed"])}
        if sealed.get("path"):
            sealed["path"] = str(self.folder / sealed["path"])
        return Config({**configuration.DEFAULTS, **self.settings, **absolute, "sealed": sealed})

    @property
    def paths(self) -> Paths:
        """Where everything of the lab is, absolute."""
        return Paths.of(self.config)

    def units(self, code: str | None = None) -> list[Unit]:
        """Every unit that has a manifest, of one subject or of all."""
        return sorted(Unit.parse(path.stem) for path in self.paths.results.glob(f"{code or '*'}/manifest/*.tsv"))

    # --- what lies where ----------------------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """A client of the lab's S3 server."""
        return s3_client(self.server)

    @property
    def buckets(self) -> list[str]:
        """All buckets of the configuration that are there."""
        named = set()
        for destination in self.settings["destinations"].values():
            bucket = destination.get("bucket")
            named |= set(bucket.values()) if isinstance(bucket, dict) else {bucket} if bucket else set()
        there = {one["Name"] for one in self.client.list_buckets()["Buckets"]}
        return sorted(named & there)

    def objects(self, bucket: str) -> dict[str, Stored]:
        """What a bucket holds, by key (the newest version of each)."""
        client = self.client
        found = {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for one in page.get("Contents", []):
                got = client.get_object(Bucket=bucket, Key=one["Key"])
                found[one["Key"]] = Stored(
                    bucket,
                    one["Key"],
                    one["Size"],
                    one["ETag"],
                    got.get("VersionId"),
                    got["Metadata"],
                    got["Body"].read(),
                )
        return found

    def all_objects(self) -> list[Stored]:
        """What all buckets and containers hold."""
        found = [one for bucket in self.buckets for one in self.objects(bucket).values()]
        if self.azure:
            found += [one for name in self.containers for one in self.azure.objects(name).values()]
        return found

    @property
    def containers(self) -> list[str]:
        """All containers of the configuration."""
        named = {one.get("container") for one in self.settings["destinations"].values()} - {None}
        return sorted(str(name) for name in named)

    def bytes_sent(self) -> int:
        """What all ledgers together say was sent, ever: a run that sends nothing does not change it."""
        lines = (line for path in self.paths.results.glob("*/ledger/*/*.jsonl") for line in read_journal(path))
        return sum(int(line["bytes_sent"]) for line in lines if line["event"] == "acknowledged")

    def unfinished_uploads(self) -> list[str]:
        """Keys of multipart uploads that are neither complete nor aborted, and of blocks that belong to no blob."""
        client = self.client
        found = [
            one["Key"]
            for bucket in self.buckets
            for one in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        ]
        if self.azure:
            found += [key for name in self.containers for key in self.azure.unfinished(name)]
        return found

    def half_written(self) -> list[str]:
        """Temporary files that nobody writes any more."""
        found = walk(self.folder, _not_ours)
        return [str(path.relative_to(self.folder)) for path in found if path.name.endswith(TEMPORARY_SUFFIX)]

    def tree(self, *, but: Iterable[str] = (".snakemake", "logs", "home")) -> dict[str, tuple[Any, ...]]:
        """Every path of the lab with kind, mode, mtime in ns, size and SHA-256, except the folders `but`."""
        return photograph(self.folder, skip=set(but))

    # --- what holds after every test ----------------------------------------------------------------------------------

    def note_raw(self) -> None:
        """Take the raw export as it is now for what must stay untouched."""
        self._raw = photograph(self.export.folder)

    def leaks(self) -> list[Leak]:
        """Every name, of anybody in the export or the registry, where none may be."""
        people = set(self.export.patients) | ({self.export.stranger} if self.export.stranger else set())
        if self.paths.private.is_dir():
            people |= {one.person for one in registry.load(open_private(self.config))}
        look = LeakCheck(people, own_words=set(self.settings["destinations"]))
        found = look.folder(self.folder, skip=_not_ours, skip_content=lambda path: bool(_VENDOR.fullmatch(path)))
        found += look.objects(self.all_objects())
        for number, run in enumerate(self.runs):
            found += look.text(f"output of run {number}", run.output)
        return found

    def check(self) -> None:
        """Prove what must hold whatever was tested; see the top of this module."""
        assert photograph(self.export.folder) == self._raw, "the raw export is not as it was"
        assert self.leaks() == []
        for number, run in enumerate(self.runs):
            assert "Traceback (most recent call last)" not in run.output, f"run {number} shows a traceback"
        if not self.may_be_unfinished:
            assert self.half_written() == []
            if not self.runs or self.runs[-1].status == 0:
                assert self.unfinished_uploads() == [], "an upload is unfinished"

    def end(self) -> None:
        """End what a test has started and left running."""
        for process in self._started:
            if process.poll() is None:
                self.kill(process)


def _not_ours(relative: str) -> bool:
    """What may hold names: the raw export, the private folder, the person files, the source of the made-up export."""
    return relative in ("hospital", "private", "people", "project")


def photograph(root: Path, *, skip: Iterable[str] = ()) -> dict[str, tuple[Any, ...]]:
    """Kind, mode, mtime (ns), size and SHA-256 of everything in a folder, by relative path; "." is the folder."""
    left_out = set(skip)
    found = {".": (_kind(root),) if left_out else _facts(root)}
    for path in walk(root, lambda relative: relative in left_out):
        found[str(path.relative_to(root))] = _facts(path)
    return found


def _facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    kind = _kind(path)
    content = hashlib.sha256(path.read_bytes()).hexdigest() if kind == "file" else ""
    return kind, oct(status.st_mode), status.st_mtime_ns, status.st_size if kind == "file" else 0, content


def _kind(path: Path) -> str:
    return "link" if path.is_symlink() else "folder" if path.is_dir() else "file"


def s3_client(server: Mapping[str, Any]) -> Any:
    """A client with the server's own keys, whatever the environment says."""
    return boto3.client(
        "s3",
        endpoint_url=server["endpoint_url"],
        region_name=server["region"],
        aws_access_key_id=server["aws_access_key_id"],
        aws_secret_access_key=server["aws_secret_access_key"],
        config=ClientConfig(s3={"addressing_style": "path"}),
    )


def destinations(server: Mapping[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
    """The three destinations of a lab: files and tarballs in S3, and a folder in the building."""
    place = {"type": "s3", "zone": "outside", "region": server["region"], "endpoint_url": server["endpoint_url"]}
    return {
        "s3": {
            **place,
            "form": "files",
            "bucket": {"vid": f"{prefix}-vid", "edf": f"{prefix}-edf", "sync": f"{prefix}-edf"},
            "encrypt": {"vid": True, "edf": False, "sync": True},
            "exclude": {"vid": ["*.doc"]},
        },
        "deep": {**place, "form": "tarball", "bucket": f"{prefix}-deep"},
        "nas": {"type": "folder", "zone": "inside", "form": "files", "path": "nas", "layout": "nas"},
    }


def azure_destination(account: AzureAccount, container: str, **settings: Any) -> dict[str, Any]:
    """A destination in a container, which is made."""
    account.renew(container)
    place = {"type": "azure", "zone": "outside", "form": "tarball", "account_url": account.url}
    return {**place, "container": container, **settings}


def make_lab(
    folder: Path,
    server: Mapping[str, Any],
    *,
    prefix: str,
    people: Sequence[Person] = (HARD_NAME,),
    sessions: int = 1,
    **export: Any,
) -> Lab:
    """A new lab in `folder`, its buckets called by `prefix`; `people` are registered, `export` goes to make_export.

    The export holds HARD_NAME, PLAIN_NAME and a stranger. HARD_NAME's second session has no EDF, PLAIN_NAME's third
    no folder.
    """
    folder.mkdir(mode=0o700)
    small: dict[str, Any] = {"seconds": 20, "clip_frames": 2, "vendor_bytes": 2000}
    made = make_export(folder / "hospital", sessions=sessions, **{**small, **export})
    lines = []
    for name in ("daily", "escrow"):
        key = generate(classic=True)
        write_identity_file(folder / f"{name}.key", key, None)
        lines.append(f"{key.recipient()}\n")
    (folder / "recipients.txt").write_text("".join(lines))
    (folder / "nas").mkdir()
    lab = Lab(folder, server, made)
    lab.configure(
        results="results",
        private="private",
        recipients="recipients.txt",
        registry_recipients="recipients.txt",
        signers="signers.txt",
        age_identity="daily.key",
        accept="auto",
        settle_minutes=0,
        destinations=destinations(server, prefix),
    )
    client = s3_client(server)
    for bucket in (f"{prefix}-vid", f"{prefix}-edf", f"{prefix}-deep"):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    lab.note_raw()
    for person in people:
        lab.register(person)
    return lab
