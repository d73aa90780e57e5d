"""The commands register, subjects and audit: what they print, refuse and never say. All names made up."""

import csv
import importlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

from ecogvault.cli import VERBS

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = re.compile("quell|trellw|mirx|zubrix|hask|00812|1987", re.IGNORECASE)
PERSON = """\
surname: Quellmotz-O'Vrânk
given: Mirx
other_names: [Trellwick, Zubrix]
mrn: 00812
birth_date: 1987-04-09
"""


class Lab:
    """A folder with a configuration, in which the command is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.yaml").write_text(
            "destinations: {nas: {type: folder, zone: inside, form: files, path: nas}}\n"
        )
        self.environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
        self.environment.pop("ECOGVAULT_DEBUG", None)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ecogvault", "--config", "config.yaml"]

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def write(self, text: str = PERSON, mode: int = 0o600, name: str = "person.yaml") -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return name

    def register(self, *words: str, text: str = PERSON) -> str:
        done = self.run("register", "--person", self.write(text), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def fail(self, *words: str, status: int = 1) -> str:
        done = self.run(*words)
        assert done.returncode == status, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert not NAMES.search(done.stderr)
        return done.stderr


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_every_verb_has_a_file() -> None:
    for verb in VERBS:
        assert callable(importlib.import_module(f"ecogvault.cli.{verb.replace('-', '_')}").add)


def test_register_prints_the_code_alone_and_the_same_person_gets_it_again(lab: Lab) -> None:
    for folder in ("raw Quellmotz", "second"):
        (lab.folder / folder).mkdir()
    first = lab.run("register", "--person", lab.write(PERSON + "raw: raw Quellmotz\n"))
    assert re.fullmatch("[a-f][0-9a-f]{7}\n", first.stdout)
    assert first.returncode == 0
    again = lab.run("register", "--person", lab.write("surname: quellmotz-o’vrank\nmrn: '00812'"), "--raw", "second")
    assert again.stdout == first.stdout
    assert not NAMES.search(first.stderr + again.stderr)
    table = lab.run("subjects").stdout.splitlines()
    assert table[0].split() == ["code", "status", "parts", "sessions", "registered"]
    assert table[1].split()[:4] == [first.stdout.strip(), "arriving", "2", "0"]
    assert len(table) == 2


def test_a_raw_folder_that_copies_go_to_is_refused_by_the_destinations_name(lab: Lab) -> None:
    (lab.folder / "nas" / "Quellmotz").mkdir(parents=True)
    (lab.folder / "link Quellmotz").symlink_to("nas")
    for folder in ("nas/Quellmotz", "nas", "link Quellmotz", "."):
        said = lab.fail("register", "--person", lab.write(), "--raw", folder)
        assert folder == "." or "the raw folder and destination nas lie in one another" in said
    (lab.folder / "nas" / "df5c5206_3").mkdir()
    assert "the raw folder and destination nas lie in one another" in lab.fail("register", "--coded", "nas")


def test_values_are_taken_as_written(lab: Lab) -> None:
    lab.register(text="surname: Null\ngiven: No\nother_names: Zubrix; On\nmrn: 00812\nbirth_date: ~\nraw: null\n")
    cells = (lab.folder / "private" / "subjects.tsv").read_text().splitlines()[2].split("\t")
    assert cells[2:7] == ["Null", "No", "Zubrix; On", "00812", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "surname: Quellmotz\nbirthdate: 1987-04-09\n",
            "line 2, has a key that does not exist; did you mean 'birth_date'?",
        ),
        ("surname: Quellmotz\nQuellmotz: 1\n", "line 2, has a key that does not exist; known are surname,"),
        ("surname: Quellmotz\ngiven: a\ngiven: b\n", "has given twice, the second time in line 3"),
        ("surname: Quellmotz\nbirth_date: 9.4.1987\n", "birth_date must be year-month-day"),
        ("surname: [Quellmotz]\n", "surname must be one text"),
        ("surname: Quellmotz\nother_names: {a: Zubrix}\n", "other_names must be a text or a list of texts"),
        ("surname: Quellmotz\nother_names: [[Zubrix]]\n", "other_names must be a text or a list of texts"),
        ("given: Mirx\n", "surname is missing"),
        ("Quellmotz\n", "one `key: value` a line"),
        ("", "one `key: value` a line"),
        ("surname: Quellmotz\n given: Mirx\n", "line 2, is not readable as YAML"),
        ("surname: Quellmotz\nraw: no/such Quellmotz\n", "the raw folder does not exist"),
    ],
)
def test_a_person_file_that_cannot_be_used_is_refused_by_line_and_key(lab: Lab, text: str, message: str) -> None:
    assert message in lab.fail("register", "--person", lab.write(text))
    assert not (lab.folder / "private" / "subjects.tsv").exists()


def test_a_person_file_in_another_encoding_is_refused(lab: Lab) -> None:
    (lab.folder / "person.yaml").write_bytes("surname: Quellmötz".encode("latin-1"))
    (lab.folder / "person.yaml").chmod(0o600)
    assert "not UTF-8" in lab.fail("register", "--person", "person.yaml")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_person_file_that_others_can_read_is_refused(lab: Lab, mode: int) -> None:
    message = lab.fail("register", "--person", lab.write(mode=mode, name="Quellmotz.yaml"))
    assert f"open to others (mode {mode:04o}): chmod 600 it" in message


def test_paths_and_words_of_the_command_line_are_not_repeated(lab: Lab) -> None:
    assert "no person file" in lab.fail("register", "--person", "Quellmotz.yaml")
    assert "1 word(s) more" in lab.fail("register", "Quellmotz", status=2)
    assert "there is no option --surname:" in lab.fail("register", "--surname=Quellmotz", status=2)
    assert "no such verb; did you mean 'register'?" in lab.fail("regsiter", status=2)
    (lab.folder / "Quellmotz").mkdir()
    message = lab.fail("register", "--person", "Quellmotz")
    assert message.startswith("ecogvault: Is a directory (a path that is not shown")


def test_without_a_terminal_a_file_is_asked_for(lab: Lab) -> None:
    assert "give --person FILE" in lab.fail("register")


def test_without_a_configuration_the_message_says_where_to_run(lab: Lab) -> None:
    (lab.folder / "config.yaml").unlink()
    assert "no configuration at config.yaml" in lab.fail("subjects")


def test_tracebacks_are_shown_only_when_asked_for(lab: Lab) -> None:
    done = lab.run("subjects", ECOGVAULT_DEBUG="1")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ecogvault: there is no folder private yet")
    assert lab.fail("subjects").count("\n") == 1


def test_a_partial_match_is_refused_until_code_says_who_it_is(lab: Lab) -> None:
    code = lab.register()
    doubtful = lab.write("surname: Quellmotz-O'Vrânk\ngiven: Mirx\n")
    assert f"agree with {code}" in lab.fail("register", "--person", doubtful)
    assert lab.run("register", "--person", doubtful, "--code", code).stdout == f"{code}\n"
    other = lab.run("register", "--person", doubtful, "--code", "new").stdout
    assert other not in ("", f"{code}\n")


def test_names_are_shown_only_with_reveal_and_that_is_audited(lab: Lab) -> None:
    code = lab.register()
    assert not NAMES.search(lab.run("subjects").stdout)
    shown = lab.run("subjects", "--reveal").stdout
    assert all(text in shown for text in ("Quellmotz-O'Vrânk", "Mirx", "Trellwick; Zubrix", "00812", "1987-04-09"))
    log = lab.run("audit")
    assert [line.split()[3] for line in log.stdout.splitlines()[1:-1]] == ["register", "reveal"]
    assert "2 line(s)" in log.stdout
    assert not NAMES.search(log.stdout)
    assert lab.run("audit", "--code", code).stdout.count("reveal") == 0
    assert lab.run("audit", "--last", "1").stdout.count("register") == 0


def test_a_changed_audit_log_is_named_and_blocks_what_must_be_audited(lab: Lab) -> None:
    lab.register()
    log = lab.folder / "private" / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"new person", b"old person"))
    assert "audit.jsonl, line 1, does not match" in lab.fail("audit")
    assert "audit.jsonl, its last line," in lab.fail("subjects", "--reveal")
    assert "audit.jsonl, its last line," in lab.fail("register", "--person", lab.write("surname: Hask\nmrn: 5\n"))
    assert len((lab.folder / "private" / "subjects.tsv").read_text().splitlines()) == 4


def _cells(path: Path) -> list[list[str]]:
    if path.suffix == ".csv":
        with open(path, newline="") as stream:
            return list(csv.reader(stream))
    sheet = openpyxl.load_workbook(path).worksheets[0]
    return [["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("name", ["table.csv", "table.xlsx"])
def test_the_spreadsheet_holds_names_only_when_revealed_and_then_is_private(lab: Lab, name: str) -> None:
    code = lab.register(text=PERSON.replace("mrn: 00812", "mrn: =00812"))
    path = lab.folder / name
    assert lab.run("subjects", "--export", name).returncode == 0
    plain = _cells(path)
    assert plain[0] == ["code", "status", "parts", "sessions", "registered"]
    assert plain[1][:4] == [code, "arriving", "0", "0"]
    assert not NAMES.search(str(plain))
    assert path.stat().st_mode & 0o777 == 0o640
    assert lab.run("subjects", "--export", name, "--reveal").returncode == 0
    revealed = _cells(path)
    assert revealed[1][5:] == ["Quellmotz-O'Vrânk", "Mirx", "Trellwick; Zubrix", "'=00812", "1987-04-09"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_names_are_not_exported_to_where_they_may_not_be(lab: Lab) -> None:
    lab.register()
    assert ".csv and .xlsx" in lab.fail("subjects", "--export", "table.ods")
    (lab.folder / "results").mkdir()
    assert "names may not lie in results" in lab.fail("subjects", "--reveal", "--export", "results/a.csv")
    subprocess.run(["git", "init", "-q", str(lab.folder)], check=True)
    (lab.folder / ".gitignore").write_text("private/\n*.xlsx\n")
    assert "git work tree" in lab.fail("subjects", "--reveal", "--export", "a.csv")
    assert lab.run("subjects", "--reveal", "--export", "a.xlsx").returncode == 0
    assert lab.run("audit").stdout.count("reveal") == 2  # the word stands twice in the one line


def test_a_reader_that_stops_early_is_no_error(lab: Lab) -> None:
    lab.register()
    done = subprocess.run(
        f"{' '.join(lab.command)} subjects | true", shell=True, cwd=lab.folder, env=lab.environment, capture_output=True
    )
    assert done.stderr == b""


class Terminal:
    """The command at a terminal of its own; standard output is a pipe, as in `CODE=$(ecogvault register)`."""

    def __init__(self, lab: Lab, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*lab.command, "register", *words],
            cwd=lab.folder,
            env=lab.environment,
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            assert select.select([self.ours], [], [], 60)[0], self.shown
            self.shown += os.read(self.ours, 4096).decode()

    def answer(self, question: str, text: str) -> None:
        self.wait_for(question)
        self.shown = self.shown.partition(question)[2]
        os.write(self.ours, text.encode())

    def end(self) -> tuple[int, str]:
        assert self.process.stdout
        printed = self.process.stdout.read().decode()
        status = self.process.wait()
        try:
            while chunk := os.read(self.ours, 4096):
                self.shown += chunk.decode()
        except OSError:  # Linux says so when the other side of a terminal is closed
            os.close(self.ours)
        return status, printed


def test_the_questions_at_a_terminal_register_a_person(lab: Lab) -> None:
    (lab.folder / "raw").mkdir()
    terminal = Terminal(lab)
    terminal.answer("surname: ", "\n")
    terminal.answer("surname: ", "Quellmotz-O'Vrânk\n")
    terminal.answer("given names (empty: unknown): ", " Mirx \n")
    terminal.answer("other names", "Trellwick; Zubrix\n")
    terminal.answer("medical record number", "00812\n")
    terminal.answer("birth date", "9.4.1987\n")
    terminal.answer("birth date", "1987-04-09\n")
    terminal.answer("raw folder (empty: later): ", "rwa\n")
    terminal.answer("raw folder (empty: later): ", "raw\n")
    terminal.answer("which items in it", "*_x*\n")
    terminal.answer("is all of this right? (y/n): ", "y\n")
    status, printed = terminal.end()
    assert status == 0, terminal.shown
    assert re.fullmatch("[a-f][0-9a-f]{7}\n", printed)
    assert lab.register() == printed.strip()
    cells = (lab.folder / "private" / "subjects.tsv").read_text().splitlines()[2].split("\t")
    assert cells[2:7] == ["Quellmotz-O'Vrânk", "Mirx", "Trellwick; Zubrix", "00812", "1987-04-09"]
    assert (lab.folder / "private" / "raw.tsv").read_text().splitlines()[2].split("\t")[3] == "*_x*"


@pytest.mark.parametrize(
    ("key", "status", "message"), [("n\n", 1, "nothing was registered"), ("\x04", 1, "not answered to the end")]
)
def test_an_answer_that_is_not_confirmed_registers_nothing(lab: Lab, key: str, status: int, message: str) -> None:
    terminal = Terminal(lab, "--raw", ".")
    terminal.answer("surname: ", "Quellmotz\n")
    for question in ("given", "other names", "medical", "birth date"):
        terminal.answer(question, "\n")
    terminal.answer("(y/n): ", key)
    assert terminal.end() == (status, "")
    assert message in terminal.shown
    assert not (lab.folder / "private" / "subjects.tsv").exists()


def test_an_interrupt_ends_the_questions_with_one_line(lab: Lab) -> None:
    terminal = Terminal(lab)
    terminal.wait_for("surname: ")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == (130, "")
    assert terminal.shown.splitlines()[-1] == "ecogvault: interrupted"
    assert "Traceback" not in terminal.shown
