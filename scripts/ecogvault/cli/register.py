"""`ecogvault register`: a person gets a code, and a raw folder is added to them. Prints the code and nothing else."""

import argparse
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecogvault.errors import EcogvaultError
from ecogvault.person import Person

if TYPE_CHECKING:
    from ecogvault.config import Config
    from ecogvault.private import Private

FIELDS = ("surname", "given", "other_names", "mrn", "birth_date", "raw", "match")
# What YAML calls nothing; a surname may be spelt like that.
_NOTHING = ("", "~", "null", "Null", "NULL")
_TRIES = 3


class BadPersonFile(EcogvaultError):
    """The person file cannot be used; the message names line and key, never its content or its path."""


class NotRegistered(EcogvaultError):
    """The questions were not answered to the end."""


@dataclass(frozen=True)
class Entry:
    """What a person file or the answers say."""

    person: Person
    raw: str = ""
    match: str = ""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "register",
        help="give a person a code, or a known person another raw folder; prints the code",
        description="Asks for person, raw folder and pattern, or reads them from a file. The same person again gets "
        "the same code. Options stay in the shell's history: use the questions or the file for whatever holds a name.",
    )
    parser.add_argument("--person", type=Path, metavar="FILE", help=f"YAML file, mode 0600: {', '.join(FIELDS)}")
    parser.add_argument("--raw", metavar="DIR", help="the raw folder")
    parser.add_argument(
        "--match",
        metavar="PATTERN",
        help="which items of the raw folder: '*' (all), '@surname' (those with the surname in their name), or a glob; "
        "by default found out from the headers",
    )
    parser.add_argument(
        "--code", metavar="CODE", help="who it is when only part of the data agrees: a code, or 'new' for somebody else"
    )
    parser.add_argument(
        "--coded",
        type=Path,
        metavar="DIR",
        help="a folder of recordings and session folders that bear codes and numbers already (df5c5206_1.edf, "
        "df5c5206_3/): they keep them; prints the codes",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Register, note it in the audit log, print the code."""
    from ecogvault import audit, registry
    from ecogvault.config import load
    from ecogvault.intake import decide_match
    from ecogvault.private import open_private

    config = load(args.config)
    private = open_private(config, create=True)
    audit.refuse_unless_writable(private)
    if args.coded is not None:
        return _register_coded(config, private, args.coded)
    entry = read_person_file(args.person) if args.person else _ask(args)
    raw = args.raw if args.raw is not None else entry.raw
    match = args.match if args.match is not None else entry.match
    before = {subject.code: subject for subject in registry.load(private)}
    code = registry.register(
        private,
        entry.person,
        Path(raw) if raw else None,
        match or None,
        code=args.code,
        decide_match=decide_match,
        apart_from=registry.written_folders(config),
    )
    folders = len(registry.parts(private, code))
    known = "known person" if code in before else "new person"
    audit.record(private, "register", code, f"{known}, {folders} raw folder(s)")
    print(f"{known}, {folders} raw folder(s); next: ecogvault order {code}", file=sys.stderr)
    print(code)
    return 0


def _register_coded(config: "Config", private: "Private", folder: Path) -> int:
    from ecogvault import audit, registry
    from ecogvault.intake import coded_in

    if not folder.is_dir():
        raise NotRegistered("the coded folder does not exist, or is no folder: check its path")
    codes = registry.register_coded(private, coded_in(folder), folder, apart_from=registry.written_folders(config))
    if not codes:
        raise NotRegistered("nothing in the coded folder is called by a code and a number, as df5c5206_1.edf is")
    for code in codes:
        audit.record(private, "register", code, "coded folder")
        print(f"next: ecogvault order {code}", file=sys.stderr)
        print(code)
    return 0


# --- person file ------------------------------------------------------------------------------------------------------


def read_person_file(path: Path) -> Entry:
    """What a person file says. All values are taken as text, as written: `No` and `007` are what they look like.

    Raises BadPersonFile, BadPerson, and OSError as it comes.
    """
    import yaml

    from ecogvault.registry import make_person

    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed by the block below
    except FileNotFoundError:
        raise BadPersonFile("there is no person file at the path given with --person") from None
    with stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if mode & 0o077:
            raise BadPersonFile(f"the person file is open to others (mode {mode:04o}): chmod 600 it")
        data = stream.read()
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise BadPersonFile("the person file is not UTF-8: save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}," if mark else ""
        raise BadPersonFile(f"the person file{line} is not readable as YAML: one `key: value` a line") from None
    if not isinstance(root, yaml.MappingNode):
        raise BadPersonFile(f"the person file must have one `key: value` a line, of {', '.join(FIELDS)}")
    values: dict[str, str | list[str]] = {}
    for key_node, value_node in root.value:
        key = _key(str(key_node.value), key_node.start_mark.line + 1)
        if key in values:
            raise BadPersonFile(
                f"the person file has {key} twice, the second time in line {key_node.start_mark.line + 1}"
            )
        values[key] = _value(key, value_node)
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    person = make_person(
        texts.get("surname", ""),
        texts.get("given", ""),
        values.get("other_names", ""),
        texts.get("mrn", ""),
        texts.get("birth_date", ""),
    )
    return Entry(person, texts.get("raw", ""), texts.get("match", ""))


def _key(key: str, line: int) -> str:
    import difflib

    if key in FIELDS:
        return key
    near = difflib.get_close_matches(key, FIELDS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(FIELDS)}"
    raise BadPersonFile(f"the person file, line {line}, has a key that does not exist; {hint}")


def _value(key: str, node: object) -> str | list[str]:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        nothing = node.style is None and node.value in _NOTHING and (key != "surname" or node.value in ("", "~"))
        return "" if nothing else str(node.value)
    if key == "other_names" and isinstance(node, yaml.SequenceNode):
        items = [_value(key, item) for item in node.value]
        return (
            [item for item in items if isinstance(item, str)] if all(isinstance(i, str) for i in items) else _bad(key)
        )
    return _bad(key)


def _bad(key: str) -> str:
    wanted = "a text or a list of texts" if key == "other_names" else "one text"
    raise BadPersonFile(f"the person file: {key} must be {wanted}; a text with colons or brackets needs quotes")


# --- questions --------------------------------------------------------------------------------------------------------


def _ask(args: argparse.Namespace) -> Entry:
    """What is typed at the terminal. The questions go to standard error: standard output is the code's."""
    from ecogvault.registry import make_person

    if not sys.stdin.isatty():
        raise NotRegistered("there is no terminal to ask at: give --person FILE (YAML, mode 0600)")
    surname = _answer("surname", lambda text: make_person(text).surname)
    # A surname that is surely right, so that each further answer is checked alone.
    given = _answer("given names (empty: unknown)", lambda text: make_person("x", text).given)
    others = _answer(
        "other names, separated by ; (birth name, former names, nicknames)",
        lambda text: "; ".join(make_person("x", "", text).other_names),
    )
    mrn = _answer("medical record number (empty: unknown)", lambda text: make_person("x", mrn=text).mrn)
    born = _answer(
        "birth date, year-month-day (empty: unknown)", lambda text: make_person("x", birth_date=text).birth_date
    )
    raw = "" if args.raw is not None else _answer("raw folder (empty: later)", _folder)
    asked = raw and args.match is None
    match = _answer("which items in it: * or @surname or a pattern (empty: find out)", str.strip) if asked else ""
    if _answer("is all of this right? (y/n)", _yes_or_no) != "y":
        raise NotRegistered("nothing was registered; begin again")
    return Entry(make_person(surname, given, others, mrn, born), raw, match)


def _answer(question: str, check: Callable[[str], str]) -> str:
    for _ in range(_TRIES):
        print(f"{question}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line.endswith("\n"):
            print(file=sys.stderr)
            raise NotRegistered("nothing was registered: the questions were not answered to the end")
        try:
            return check(line[:-1])
        except EcogvaultError as error:
            print(f"  {error}", file=sys.stderr)
    raise NotRegistered(f"nothing was registered: {_TRIES} answers could not be used")


def _folder(text: str) -> str:
    folder = text.strip()
    if folder and not Path(folder).expanduser().is_dir():
        raise NotRegistered("there is no such folder")
    return folder


def _yes_or_no(text: str) -> str:
    answer = text.strip().casefold()[:1]
    if answer not in ("y", "n"):
        raise NotRegistered("y or n")
    return answer
