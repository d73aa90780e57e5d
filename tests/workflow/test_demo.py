"""The demo itself, by the real commands: what `make demo` shows, what it leaves, and that a second run does nothing."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import photograph, s3_client

from ecogvault.config import load
from ecogvault.sandbox import demo, servers
from ecogvault.sandbox.export import HARD_NAME, PLAIN_NAME
from lab_reader import lab_reads_snc, lab_reads_vtc
from leaks import LeakCheck, Stored

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "scripts", "config", "profiles", "envs")
NOTHING = "Nothing to be done"
# The vendor's own files, which hold names in their bytes, never in their names: inside the building only.
VENDOR = re.compile(r"demo/(results/[^/]+/vid|restored/[^/]+/[^/]+/vid|nas/video)/.+")

# One worker runs them all: the demo takes a minute, and they share it.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own with the project in it, so that its runs and logs meet no other test's."""
    folder = tmp_path_factory.mktemp("demo")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(
                source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache")
            )
        else:
            shutil.copy(source, folder / part)
    return folder


def environment(project: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(project / "scripts"), "PYTHONDONTWRITEBYTECODE": "1"}


def run_demo(project: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ecogvault", "sandbox", "demo", "--dir", "demo"],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.fixture(scope="module")
def first(project: Path) -> str:
    return run_demo(project)


@pytest.fixture(scope="module")
def raw(project: Path, first: str) -> dict[str, tuple[Any, ...]]:
    """The made-up export as the first demo left it."""
    return photograph(project / "demo" / "hospital")


@pytest.fixture(scope="module")
def second(project: Path, raw: dict[str, tuple[Any, ...]]) -> str:
    return run_demo(project)


def table(output: str) -> dict[tuple[str, str], str]:
    """Evidence by unit and destination, from the closing table."""
    row = r"^([a-f][0-9a-f]{7}_\d+_[a-z]+) +(\w+) +(\w+) +\d+ +[\d.]+ (?:bytes|kB|MB)$"
    rows = re.findall(row, output, re.MULTILINE)
    return {(unit, destination): evidence for unit, destination, evidence in rows}


@pytest.mark.timeout(600)
def test_the_demo_shows_its_commands_and_ends_with_every_unit_at_every_destination(project: Path, first: str) -> None:
    commands = re.findall(r"^\$ (.+)$", first, re.MULTILINE)
    for word in ("keygen", "register", "order", "review", "--dry-run", "verify", "restore"):
        assert any(word in command.split() for command in commands), word
    assert sum(command.startswith("snakemake ") for command in commands) == 7
    evidence = table(first)
    units = {unit for unit, _ in evidence}
    assert len({unit.partition("_")[0] for unit in units}) == 2
    assert {unit.rpartition("_")[2] for unit in units} == {"edf", "vid", "sync"}
    assert set(evidence) == {(unit, destination) for unit in units for destination in ("s3", "deep", "glacier", "nas")}
    assert sorted(set(evidence.values())) == ["listed", "restored"]
    assert list(evidence.values()).count("restored") == 1
    for _, where in demo.whereabouts(Path("demo")):
        assert (project / where).exists()
        assert str(where) in first


@pytest.mark.timeout(600)
def test_the_demo_shows_the_texts_that_it_made_of_session_folders_own_tables(project: Path, first: str) -> None:
    shown = dict(re.findall(r"^(demo/results/\S+\.txt): (.+)$", first, re.MULTILINE))
    kinds = [Path(path).parent.name for path in shown]
    assert sorted(kinds) == ["snc", "vtc", "vtc"]  # one session has neither text, another has no VTC
    for path, row in shown.items():
        assert row in (project / path).read_text().splitlines()
        text = (project / path).read_text()
        if "/vtc/" in path:
            assert [number for _, number in lab_reads_vtc(text)] == [1, 2, 3]
        else:
            assert [stamp for stamp, _ in lab_reads_snc(text)] == [2560 * number for number in range(12)]


@pytest.mark.timeout(600)
def test_a_second_demo_says_that_nothing_is_to_be_done_and_ends_with_the_same_table(first: str, second: str) -> None:
    assert second.count(NOTHING) == 4  # the preview, both runs, the restore
    assert table(second) == table(first)


@pytest.mark.timeout(600)
def test_no_name_is_anywhere_but_where_it_may_be_after_the_demo(project: Path, first: str, second: str) -> None:
    look = LeakCheck([HARD_NAME, PLAIN_NAME], own_words={"demo", "daily", "escrow", "video"})
    found = look.folder(project, skip=_may_hold_names, skip_content=lambda path: bool(VENDOR.fullmatch(path)))
    found += look.text("what the demo said", first + second)
    with servers.running(project / "demo" / "sandbox", only=["s3"]) as services:
        objects = list(everything_stored(services.s3))
    assert {one.bucket for one in objects} >= {"demo-edf", "demo-video", "demo-deep", "demo-sync"}
    assert look.objects(objects) + found == []


def _may_hold_names(relative: str) -> bool:
    """The raw export and the private folder; the program's own sources, which make them up; the server's own files."""
    return relative in ("demo/hospital", "demo/private", "demo/sandbox", "scripts", "broken", "ended")


def everything_stored(server: dict[str, Any]) -> Iterator[Stored]:
    """The newest version of every object of the demo's S3 server."""
    client = s3_client(server)
    for bucket in (one["Name"] for one in client.list_buckets()["Buckets"]):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for one in page.get("Contents", []):
                got = client.get_object(Bucket=bucket, Key=one["Key"])
                content = got["Body"].read()
                yield Stored(bucket, one["Key"], one["Size"], one["ETag"], None, got["Metadata"], content)


@pytest.mark.timeout(600)
def test_the_demo_leaves_the_export_as_it_was(project: Path, raw: dict[str, tuple[Any, ...]], second: str) -> None:
    assert photograph(project / "demo" / "hospital") == raw


@pytest.mark.timeout(600)
def test_the_demo_leaves_no_server_and_no_person_file(project: Path, second: str) -> None:
    assert not servers.are_up(project / "demo" / "sandbox")
    assert servers.read(project / "demo" / "sandbox") is None
    assert not (project / "demo" / "registering").exists()
    assert str(project) not in _command_lines()


def test_a_demo_that_fails_or_is_ended_ends_its_server(project: Path) -> None:
    """The Snakefile of this copy is broken after its servers are up; and a demo is told to end while keys are made."""
    (broken := project / "broken").mkdir()
    for part in PARTS:
        (broken / part).symlink_to(project / part)
    (broken / "rules").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "ecogvault", "sandbox", "demo"],
        cwd=broken,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the demo stops: `snakemake` ended with status 1" in done.stderr
    assert not servers.are_up(broken / "demo" / "sandbox")

    with subprocess.Popen(
        [sys.executable, "-m", "ecogvault", "sandbox", "demo", "--dir", "ended"],
        cwd=broken,
        env=environment(project) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        next(line for line in running.stdout if line.startswith("$ "))  # the servers are up by then
        assert servers.read(broken / "ended" / "sandbox") is not None
        running.send_signal(signal.SIGTERM)
        running.stdout.read()
    assert running.returncode == 128 + signal.SIGTERM
    assert servers.read(broken / "ended" / "sandbox") is None
    assert str(broken) not in _command_lines()


def test_the_demo_outside_the_project_says_where_to_run_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ecogvault", "sandbox", "demo"],
        cwd=tmp_path,
        env=environment(ROOT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run it in the project's folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_demos_configuration_has_the_servers_address_and_its_own_folder(tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    demo.write_config(ROOT / demo.TEMPLATE, target, tmp_path / "x", {"s3": "http://127.0.0.1:1"})
    config = load(target)
    assert config.private == tmp_path / "x" / "private"
    assert config.destinations["nas"].settings["path"] == str(tmp_path / "x" / "nas")
    assert {config.destinations[name].settings["endpoint_url"] for name in ("s3", "deep")} == {"http://127.0.0.1:1"}


def _command_lines() -> str:
    """The command lines of all processes but this one and its parents, which hold pytest's own folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if "weed" in text:
            found.append(text)
    return "\n".join(found)
