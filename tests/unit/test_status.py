"""Positions and rates of transfers, and what `ecogvault status` says of them and of the evidence."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from archive_lab import ArchiveLab

from ecogvault import ledger, transfer
from ecogvault.cli import main
from ecogvault.config import Config, check
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.status import Transfer
from ecogvault.transfer import Position, position, transfer_state

UNITS = [Unit("df5c5206", number, "vid") for number in (1, 2, 3, 4)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "nas").mkdir()
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path / "nas")}
    deep = {"type": "s3", "zone": "outside", "form": "tarball", "bucket": "b", "kinds": ["edf"]}
    values = {"results": str(tmp_path / "results"), "destinations": {"nas": nas, "deep": deep}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    config = check(values)
    for unit in UNITS:
        manifest = Paths.of(config).manifest(unit)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.touch()
    return config


def note(config: Config, unit: Unit, *kinds: str, size: int = 2_000_000_000) -> None:
    place = Paths.of(config).ledger("nas", unit)
    one = {"key": "k", "etag": "e", "size": size}
    more: dict[str, dict[str, Any]] = {
        "object": {"object": one},
        "acknowledged": {"bytes_sent": 1},
        "missing": {"keys": ["k"]},
    }
    for kind in kinds:
        ledger.append(place, ledger.event(kind, 1, "0" * 64, **more.get(kind, {})), mode=0o600, group=None)


def opened(config: Config, unit: Unit, folder: Path):
    return transfer_state(Paths.of(config).transfer("nas", unit), folder / "secrets.json", what="a test")


def shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["--config", str(folder / "config.yaml"), "status"]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_position_has_the_rate_of_the_last_seconds_and_is_said_once_a_second(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr(transfer, "monotonic", lambda: now)
    place = Position(1000)
    said = []
    for _ in range(40):
        now += 0.5
        said.append(place.advance(10))
    assert sum(said) == 20
    assert place.record() | {"at": ""} == {"total": 1000, "done": 400, "rate": 20, "at": ""}
    now += 100
    place.advance(0)
    assert place.record()["rate"] < 5


def test_nothing_at_all_is_said_to_be_nothing(tmp_path, capsys) -> None:
    (tmp_path / "nas").mkdir()
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": "nas"}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"results": str(tmp_path / "r"), "destinations": {"nas": nas}})
    )
    assert shown(tmp_path, capsys) == ["no transfer is running", "no unit is made yet"]


def test_running_and_interrupted_transfers_are_shown_apart(config, tmp_path, capsys, monkeypatch) -> None:
    with opened(config, UNITS[1], tmp_path) as state:
        state.expect(4_000_000_000)
        state.advance(1_000_000_000)
    with opened(config, UNITS[0], tmp_path) as state:
        state.expect(4_000_000_000)
        state.advance(3_000_000_000)
        lines = shown(tmp_path, capsys)
    assert lines[0] == "running:"
    assert lines[1].startswith("  df5c5206_1_vid to nas   75 %  3.00 of 4.00 GB  ")
    assert f"(process {os.getpid()} on " in lines[1]
    assert lines[2] == "interrupted:"
    assert lines[3].startswith("  df5c5206_2_vid to nas   25 %  1.00 of 4.00 GB  interrupted at 2")
    with opened(config, UNITS[0], tmp_path) as state:
        state.done()
    with opened(config, UNITS[1], tmp_path) as state:
        state.done()
    assert shown(tmp_path, capsys)[0] == "no transfer is running"


def test_the_time_that_is_left_follows_from_the_rate() -> None:
    line = Transfer("u", "s3", "process 1", total=10_000_000_000, done=4_000_000_000, rate=50_000_000).line()
    assert line == "u to s3   40 %  4.00 of 10.00 GB  50.00 MB/s  2 min left  (process 1)"
    assert "nothing is sent yet (process 1)" in Transfer("u", "s3", "process 1").line()


def test_evidence_is_counted_by_subject_and_destination(config, tmp_path, capsys) -> None:
    note(config, UNITS[0], "intent", "object", "acknowledged", "listed")
    note(config, UNITS[1], "intent", "object", "acknowledged", "listed", "rehashed")
    note(config, UNITS[2], "intent", "object", "acknowledged", "missing")
    assert shown(tmp_path, capsys)[1:] == [
        "df5c5206: 4 units",
        "  nas         1 rehashed, 1 listed, 1 missing, 1 not there yet; 4.00 GB",
    ]
    path = Paths.of(config).ledger("nas", UNITS[0])
    path.write_bytes(path.read_bytes().replace(b"listed", b"lostid"))
    note(config, UNITS[3], "intent", "object")
    assert (
        shown(tmp_path, capsys)[-1] == "  nas         1 rehashed, 1 not complete, 1 missing, 1 damaged ledger; 2.00 GB"
    )


def test_copies_are_shown_of_units_that_were_not_made_here_as_after_a_rebuild(config, tmp_path, capsys) -> None:
    note(config, UNITS[0], "object", "acknowledged", "listed")
    note(config, UNITS[1], "object", "acknowledged", "listed")
    for unit in UNITS[1:]:
        Paths.of(config).manifest(unit).unlink()
    assert shown(tmp_path, capsys)[1:] == ["df5c5206: 2 units", "  nas         2 listed; 4.00 GB"]
    Paths.of(config).manifest(UNITS[0]).unlink()
    assert shown(tmp_path, capsys)[1:] == ["df5c5206: 2 units", "  nas         2 listed; 4.00 GB"]
    recording = Unit("df5c5206", 1, "edf")
    Paths.of(config).ledger("deep", recording).parent.mkdir()
    ledger.append(
        Paths.of(config).ledger("deep", recording), ledger.event("intent", 1, "0" * 64), mode=0o600, group=None
    )
    assert shown(tmp_path, capsys)[1:] == [
        "df5c5206: 3 units",
        "  deep        1 not complete; 0 bytes",
        "  nas         2 listed, 1 not known here; 4.00 GB",
    ]


def test_watching_goes_on_until_it_is_interrupted_and_shows_what_is_new(config, tmp_path) -> None:
    program = Path(sys.executable).with_name("ecogvault")
    words = [program, "--config", tmp_path / "config.yaml", "status", "--watch"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "no transfer is running\n"
        with opened(config, UNITS[0], tmp_path):
            while "running:" not in child.stdout.readline():
                pass
            assert child.stdout.readline().startswith("  df5c5206_1_vid to nas: nothing is sent yet (process ")
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0


def test_a_real_upload_says_how_far_it_is_and_leaves_no_state(tmp_path: Path, monkeypatch) -> None:
    lab = ArchiveLab(tmp_path)
    unit = next(unit for unit in lab.units if unit.kind == "vid")
    lab.make(unit)
    monkeypatch.setattr(transfer, "SAVE_EVERY", 0)
    told = []
    real = transfer.write_record

    def spy(path: Path, record: Any, **rest: Any) -> None:
        real(path, record, **rest)
        if "position" in record:
            told.append(position(path))

    monkeypatch.setattr(transfer, "write_record", spy)
    for name in ("nas", "deep", "crypt"):
        told.clear()
        lab.upload(unit, name)
        assert [one["done"] for one in told] == sorted(one["done"] for one in told)
        assert told[-1]["done"] >= told[-1]["total"] > 1_000
        assert not lab.paths.transfer(name, unit).exists()
