"""The demo: a made-up hospital export through the whole graph, by the commands that a person would type.

Everything lies below one folder (`demo/`), and the local servers run only while the demo does. A second run finds
everything in place. The configuration is config/demo.yaml, with the server's address filled in.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from ecogvault import ledger, registry, reviewing
from ecogvault.config import Config, check
from ecogvault.files import replacing
from ecogvault.intake.assignment import read_sessions
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.person import Person
from ecogvault.private import open_private
from ecogvault.sandbox import servers
from ecogvault.sandbox.export import HARD_NAME, PLAIN_NAME, make_export, write_person_files
from ecogvault.sandbox.glacier import service as glacier
from ecogvault.sandbox.processes import SandboxError
from ecogvault.sandbox.service import Details
from ecogvault.synctext import SNC_HEADER_LINES, VTC_HEADER_LINES, is_table

TEMPLATE = Path("config/demo.yaml")
TEMPLATE_FOLDER = "demo/"
KEYS = ("daily", "escrow")
RESTORED_FROM = "deep"
FREE_TEXTS = ("likes the blue pillow",)
_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Shown:
    """One line of the closing table: what the ledger knows of a unit at a destination."""

    unit: Unit
    destination: str
    evidence: str
    objects: int
    size: int


@dataclass(frozen=True)
class _Shell:
    """Runs the real commands, each one shown before it runs."""

    environment: Mapping[str, str]

    def __call__(self, *words: str | Path, append_to: Path | None = None) -> None:
        """Run a command to its end; its output goes to the terminal, or is appended to a file. Raises SandboxError."""
        texts = [os.fspath(word) for word in words]
        line = shlex.join(texts) + (f" >> {shlex.quote(str(append_to))}" if append_to else "")
        print(f"\n$ {line}", flush=True)
        if append_to is None:
            self._run(texts, None)
        else:
            with open(append_to, "ab") as stream:
                self._run(texts, stream)

    def _run(self, words: Sequence[str], output: IO[bytes] | None) -> None:
        command = [str(_program(words[0])), *words[1:]]
        process = subprocess.Popen(command, env=self.environment, stdout=output)
        try:
            status = process.wait()
        except BaseException as interruption:
            # After Ctrl-C the terminal has told the command, too: it ends its own jobs, and unlocks its folder.
            if not isinstance(interruption, KeyboardInterrupt):
                process.terminate()
            _end(process)
            raise
        if status != 0:
            raise SandboxError(f"the demo stops: `{words[0]}` ended with status {status}; its own message stands above")


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(folder: Path) -> tuple[Path, list[Shown]]:
    """Run the whole demo below `folder`; returns the configuration it used and the closing table.

    The server is ended whatever happens. Raises SandboxError when a command fails or the current folder is not the
    project's, and OSError as it comes.
    """
    if not TEMPLATE.is_file() or not Path("Snakefile").is_file():
        raise SandboxError(f"the demo needs the Snakefile and {TEMPLATE}: run it in the project's folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _terminated_as_interrupted(), servers.running(folder / "sandbox", only=["s3", "glacier"]) as services:
        config_file = folder / "config.yaml"
        addresses = {"s3": services.s3["endpoint_url"], "glacier": services.glacier["endpoint_url"]}
        config = write_config(TEMPLATE, config_file, folder, addresses)
        _buckets(config, services.s3)
        _vaults(config, services.glacier)
        shell = _Shell(_environment(services.s3))
        _prepare(shell, folder, config_file, config)
        _archive(shell, config_file, config, services.glacier)
        return config_file, shown(config)


def write_config(template: Path, target: Path, folder: Path, addresses: Mapping[str, str]) -> Config:
    """The demo's configuration with paths below `folder` and the servers' addresses by type, written to `target`."""
    values = yaml.safe_load(template.read_text(encoding="utf-8"))
    placed = _map_texts(
        values, lambda text: str(folder / text.removeprefix(TEMPLATE_FOLDER)) if _is_ours(text) else text
    )
    for destination in placed["destinations"].values():
        if destination["type"] in addresses:
            destination["endpoint_url"] = addresses[destination["type"]]
    text = f"# Written by the demo from {template}.\n" + yaml.safe_dump(placed, sort_keys=False)
    with replacing(target, mode=0o600) as stream:
        stream.write(text.encode())
    return check(placed)


def _is_ours(text: str) -> bool:
    return text.startswith(TEMPLATE_FOLDER)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _map_texts(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_map_texts(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


def shown(config: Config) -> list[Shown]:
    """What the ledgers know of the newest complete copy of each unit at each destination."""
    paths = Paths.of(config)
    lines = []
    for journal in sorted(config.results.glob("*/ledger/*/*.jsonl")):
        unit, name = Unit.parse(journal.stem), journal.parent.name
        complete = [copy for copy in ledger.copies(paths.ledger(name, unit)).values() if copy.evidence]
        if complete:
            copy = max(complete, key=lambda one: one.generation)
            lines.append(Shown(unit, name, str(copy.evidence), len(copy.objects), copy.size))
    return sorted(lines, key=lambda line: (line.unit, list(config.destinations).index(line.destination)))


def made_texts(config: Config) -> list[tuple[Path, str]]:
    """Each SNC and VTC text that was made of a session folder's own table, and its first row."""
    paths = Paths.of(config)
    found = []
    for subject in registry.load(open_private(config)):
        for row in read_sessions(paths, subject.code):
            if is_table(row.item, row.role):
                text = paths.subject(subject.code) / row.role / f"{row.unit.session}.txt"
                header = SNC_HEADER_LINES if row.role == "snc" else VTC_HEADER_LINES
                found.append((text, text.read_text(encoding="utf-8").splitlines()[header]))
    return found


def whereabouts(folder: Path) -> list[tuple[str, Path]]:
    """What lies where after the demo, for the person who ran it."""
    return [
        ("the hospital's export, untouched", folder / "hospital"),
        ("who is who, and all raw names", folder / "private"),
        ("everything by code", folder / "results"),
        ("the copy inside the building", folder / "nas"),
        ("the local S3 server's data", folder / "sandbox" / "s3"),
        ("the local vault service's data", folder / "sandbox" / "glacier"),
        ("what the vault lists", folder / "results" / "inventory" / "glacier.tsv"),
        ("what was restored", folder / "restored"),
        ("the two age identities", folder / "keys"),
        ("one log per job", Path("logs")),
    ]


def _prepare(shell: _Shell, folder: Path, config_file: Path, config: Config) -> None:
    """The hospital's export, keys and the two patients: what a lab has, or makes once."""
    hospital = folder / "hospital"
    if not hospital.exists():
        _whole(hospital, lambda place: make_export(place, free_texts=FREE_TEXTS))
        print(f"A made-up hospital export lies in {hospital}: three people, of whom two are the lab's.")
    for destination in config.destinations.values():
        if destination.type == "folder":  # to the program, one that is missing is one that is not mounted
            Path(destination.settings["path"]).mkdir(parents=True, exist_ok=True)
    keys = folder / "keys"
    if not keys.exists():
        _whole(keys, lambda place: _make_keys(shell, place))
    for person in (HARD_NAME, PLAIN_NAME):
        _register(shell, config_file, folder, hospital, person)
    print(
        "\n# Sessions by start time, whatever their names; with `accept: manual`, --accept would freeze their numbers:"
    )
    for subject in registry.load(open_private(config)):
        shell("ecogvault", "--config", config_file, "order", subject.code)


def _whole(target: Path, make: Callable[[Path], object]) -> None:
    """Have `make` fill a folder beside `target` that gets its name when it is complete."""
    beside = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    make(beside)
    beside.rename(target)


def _make_keys(shell: _Shell, keys: Path) -> None:
    keys.mkdir(mode=0o700)
    for name in KEYS:
        shell("ecogvault", "keygen", "--no-passphrase", "-o", keys / f"{name}.key", append_to=keys / "recipients.txt")


def _register(shell: _Shell, config_file: Path, folder: Path, hospital: Path, person: Person) -> None:
    """Register from a person file, which exists only as long as it is needed: names stay in one place."""
    (written,) = write_person_files(folder / "registering", [person])
    try:
        with open(written, "a", encoding="utf-8") as stream:
            yaml.safe_dump({"raw": str(hospital.resolve())}, stream, allow_unicode=True)
        shell("ecogvault", "--config", config_file, "register", "--person", written)
    finally:
        shutil.rmtree(written.parent)


def _archive(shell: _Shell, config_file: Path, config: Config, vaults: Details) -> None:
    """What a lab does with each export."""
    snakemake = ("snakemake", "--configfile", config_file)
    quiet = ("--cores", "2", "--quiet", "rules", "reason", "host")
    print("\n# What would be done (without --quiet: every job with its files):")
    shell(*snakemake, "--dry-run", *quiet)
    print("\n# Number, de-identify, scan:")
    shell(*snakemake, *quiet, "--", "deidentify")
    print("\n# Free text in an annotation would leave plain: a person reads it (this demo does not) and decides:")
    private = open_private(config)
    for subject in registry.load(private):
        shell("ecogvault", "--config", config_file, "review", subject.code)
        waiting, _ = reviewing.items(config, private, subject.code)
        if waiting:
            ids = [item.id for item in waiting]
            shell("ecogvault", "--config", config_file, "review", subject.code, "--redact", *ids)
    print("\n# Seal, send; what was redacted is made anew:")
    shell(*snakemake, *quiet)
    print("\n# SNC and VTC texts that nobody brought were made of the session folders' own tables:")
    for text, row in made_texts(config):
        print(f"{text}: {row}")
    print("\n# Is everything where the ledgers say it is?", flush=True)
    shell(*snakemake, *quiet, "--", "verify")
    print("\n# A vault says a day later what it holds, and takes hours for that; the local one's clock is put forward:")
    for hours in (24, 6):
        glacier.order(vaults, advance=3600 * hours)
        shell(*snakemake, *quiet, "--config", "from=glacier", "--", "verify")
    print("\n# A session folder comes back from its sealed tarball, and is compared file by file:")
    units = [line.unit for line in shown(config) if line.destination == RESTORED_FROM and line.unit.kind == "vid"]
    wanted = ("--config", f"unit={units[0]}", f"from={RESTORED_FROM}")
    shell(*snakemake, *quiet, *wanted, "--", "restore")


def _program(name: str) -> Path:
    """A program of this environment. Raises SandboxError."""
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK):
        return beside
    raise SandboxError(f"`{name}` is not installed beside this Python: run `make install`")


def _environment(s3: Details) -> dict[str, str]:
    """Credentials go through the environment, as boto3's own chain takes them; a person's own settings stay out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") or name == "AWS_CA_BUNDLE"}
    return kept | {
        "AWS_ACCESS_KEY_ID": s3["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": s3["aws_secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def _vaults(config: Config, details: Details) -> None:
    """Make the vaults that the configuration names."""
    import boto3

    keys = {name: details[name] for name in ("aws_access_key_id", "aws_secret_access_key", "endpoint_url")}
    client = boto3.client("glacier", region_name=details["region"], **keys)
    for destination in config.destinations.values():
        if destination.type == "glacier":
            client.create_vault(vaultName=destination.settings["vault"])


def _buckets(config: Config, s3: Details) -> None:
    """Make the buckets that the configuration names, versioned: a changed file never replaces its old version."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3["endpoint_url"],
        region_name=s3["region"],
        aws_access_key_id=s3["aws_access_key_id"],
        aws_secret_access_key=s3["aws_secret_access_key"],
    )
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    wanted = {
        destination.bucket(kind)
        for destination in config.destinations.values()
        if destination.type == "s3"
        for kind in ("edf", "vid", "sync")
    }
    for bucket in sorted(wanted - there):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": s3["region"]})
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the block as an exception does, so that the server is ended then, too."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
