"""What every rule script shares: one clear line for a failure, no raw path anywhere, modes as configured."""

import logging
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecogvault import scripting
from ecogvault.config import check
from ecogvault.errors import EcogvaultError, safe_traceback
from ecogvault.private import open_private
from ecogvault.scripting import Rule, job, progress_bar

SCRIPTS = Path(__file__).parents[2] / "scripts"
UNIT = {"code": "df5c5206", "n": "3", "kind": "vid"}


class Named(dict[str, Any]):
    """What Snakemake gives a script: values by name, in order."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return iter(self.values())


class Listed(list[str]):
    """What Snakemake gives for inputs, outputs and logs: values by place and by name."""

    def __init__(self, **named: str) -> None:
        super().__init__(named.values())
        self.named = named

    def items(self) -> Any:
        return self.named.items()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o077)
    terminated = signal.getsignal(signal.SIGTERM)
    yield SimpleNamespace(
        config={"destinations": {"nas": {"type": "folder", "zone": "inside", "form": "files", "path": "nas"}}},
        rule="upload_unit",
        wildcards=Named(**UNIT, destination="nas"),
        params=Named(format=1),
        input=Listed(manifest="results/df5c5206/manifest/df5c5206_3_vid.tsv"),
        output=Listed(receipt="results/df5c5206/receipts/nas/df5c5206_3_vid.json"),
        log=Listed(log="logs/upload_unit/nas/df5c5206_3_vid.log"),
        threads=2,
    )
    os.umask(umask)
    signal.signal(signal.SIGTERM, terminated)
    for handler in list(scripting.log.handlers):
        handler.close()
        scripting.log.removeHandler(handler)


def failing(made: SimpleNamespace, error: BaseException) -> str:
    """Run a job that raises `error`; its log."""
    with pytest.raises(SystemExit) as ending, job(made):
        raise error
    assert ending.value.code == 1
    return Path(made.log[0]).read_text()


def test_a_script_gets_paths_wildcards_params_and_its_unit(made: SimpleNamespace) -> None:
    with job(made) as rule:
        assert isinstance(rule, Rule)
        assert str(rule.unit) == "df5c5206_3_vid"
        assert rule.output.receipt == Path(made.output[0])
        assert rule.input.manifest == Path(made.input[0])
        assert (rule.params.format, rule.threads, rule.wildcards.destination) == (1, 2, "nas")
        rule.say("two words")
    assert "two words" in Path(made.log[0]).read_text()


def test_an_error_of_ours_is_one_line_with_the_log(made: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    log = failing(made, EcogvaultError("df5c5206_3_vid: it is wrong: mend it"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "ecogvault: upload_unit df5c5206 3 vid nas: df5c5206_3_vid: it is wrong: mend it "
        "(log: logs/upload_unit/nas/df5c5206_3_vid.log)"
    )
    assert "raised at" in log


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "/export/Quellmotz/Quellmotz_0001.avi"),
        PermissionError(13, "Permission denied", b"/export/Quellmotz\xff", None, "/export/Quellmotz/b"),
        OSError("Quellmotz"),
        ValueError("Quellmotz"),
        KeyError("Quellmotz"),
        UnicodeDecodeError("utf-8", b"Quellmotz", 0, 1, "Quellmotz"),
    ],
)
def test_a_foreign_error_shows_no_raw_path_on_stderr_or_in_the_log(
    made: SimpleNamespace, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    chained = RuntimeError("Quellmotz again")
    chained.__cause__ = error
    for one in (error, chained):
        log = failing(made, one)
        told = capsys.readouterr().err
        assert "uellmotz" not in log + told
        assert len(told.splitlines()) == 1
        assert type(one).__name__ in log


def test_a_raw_path_goes_by_its_private_id_and_a_coded_one_by_itself(
    made: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    private = open_private(check(made.config), create=True)
    raw = "/export/Quellmotz/Quellmotz_0001.avi"
    failing(made, PermissionError(13, "Permission denied", raw))
    assert f": {private.private_id(raw)}: Permission denied: " in capsys.readouterr().err
    failing(made, PermissionError(13, "Permission denied", made.output[0]))
    assert f": {made.output[0]}: Permission denied: " in capsys.readouterr().err


def test_a_full_disk_says_to_make_room(made: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    failing(made, OSError(28, "No space left on device"))
    assert "No space left on device: make room, then run again" in capsys.readouterr().err


def test_a_traceback_without_texts_still_says_where() -> None:
    try:
        try:
            raise ValueError("Quellmotz")
        except ValueError as inner:
            raise KeyError("Quellmotz") from inner
    except KeyError as error:
        told = safe_traceback(error)
    assert "uellmotz" not in told.replace('"Quellmotz"', "")
    assert re.findall(r"^(\w+), raised at", told, re.MULTILINE) == ["KeyError", "ValueError"]
    assert Path(__file__).name in told


@pytest.mark.parametrize("mode", ["750", "2770", "700"])
def test_folders_that_snakemake_made_get_the_configured_mode(made: SimpleNamespace, mode: str) -> None:
    made.config["mode"] = mode
    Path("results/df5c5206/receipts/nas").mkdir(parents=True)
    Path("results/df5c5206").chmod(0o755)
    with job(made) as rule:
        path = rule.paths.ledger("nas", rule.unit)
        path.write_text("")
    for folder in ("", "/receipts", "/receipts/nas", "/ledger", "/ledger/nas", "/transfer/nas"):
        assert stat.S_IMODE(Path(f"results/df5c5206{folder}").stat().st_mode) == int(mode, 8)
    assert stat.S_IMODE(Path("results").stat().st_mode) == int(mode, 8)
    assert stat.S_IMODE(path.stat().st_mode) & ~int(mode, 8) == 0


def test_an_older_results_folder_loses_nothing(made: SimpleNamespace) -> None:
    Path("results").mkdir()
    Path("results").chmod(0o2775)
    with job(made):
        pass
    assert stat.S_IMODE(Path("results").stat().st_mode) == 0o2775


def test_a_wrong_group_is_one_clear_line(made: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    made.config["group"] = "nobody-has-this"
    with pytest.raises(SystemExit), job(made):
        pytest.fail("the work began")
    assert "group: this machine has no group 'nobody-has-this'" in capsys.readouterr().err


def test_logging_starts_anew_with_each_attempt(made: SimpleNamespace) -> None:
    failing(made, EcogvaultError("first attempt"))
    logging.getLogger("ecogvault").handlers.clear()
    with job(made) as rule:
        rule.say("second attempt")
    assert "first" not in Path(made.log[0]).read_text()


def test_progress_is_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    advance = progress_bar(10, "df5c5206_3_vid")
    advance(4)
    advance(6)
    assert capsys.readouterr().err == ""


def test_reading_the_snakefile_costs_no_big_import() -> None:
    code = (
        "import sys, resource, ecogvault.workflow;"
        "big = {'pandas', 'numpy', 'boto3', 'botocore', 'azure', 'jsonschema', 'snakemake', 'tqdm'};"
        "print(*sorted(big & set(sys.modules)));"
        "usage = resource.getrusage(resource.RUSAGE_SELF);"
        "print(usage.ru_utime + usage.ru_stime)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert answer[0] == ""
    assert float(answer[1]) < 0.8
