"""`ecogvault subjects`: the codes, and the lab's spreadsheet of them. Names only with --reveal, which is audited."""

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from ecogvault.config import Config
    from ecogvault.private import Private

COLUMNS = ("code", "status", "parts", "sessions", "registered")
NAME_COLUMNS = ("surname", "given", "other_names", "mrn", "birth_date")
# What a spreadsheet program would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


class ExportRefused(EcogvaultError):
    """The spreadsheet cannot be written there, or not in that form."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser("subjects", help="list codes, status and counts, or write them to a spreadsheet")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write a .csv or .xlsx instead")
    parser.add_argument("--reveal", action="store_true", help="with names; noted in the audit log, file 0600")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table, or write it."""
    from ecogvault import audit
    from ecogvault.config import load
    from ecogvault.private import open_private

    config = load(args.config)
    private = open_private(config)
    if args.export:
        refuse_export(config, args.export, reveal=args.reveal)
    if args.reveal:
        audit.record(private, "reveal", None, "subjects --reveal --export" if args.export else "subjects --reveal")
    columns = COLUMNS + NAME_COLUMNS if args.reveal else COLUMNS
    rows = table(config, private, reveal=args.reveal)
    if args.export:
        export(args.export, columns, rows, mode=0o600 if args.reveal else 0o640)
        print(f"{len(rows)} subject(s) written")
    elif rows:
        print(layout(columns, rows))
    else:
        print("nobody is registered yet: `ecogvault register`")
    return 0


def table(config: "Config", private: "Private", *, reveal: bool) -> list[dict[str, str | int]]:
    """One row per subject, in the order of registration; what names people only with `reveal`."""
    from ecogvault import registry
    from ecogvault.intake.assignment import read_sessions
    from ecogvault.paths import Paths

    paths = Paths.of(config)
    folders = [part.code for part in registry.load_parts(private)]
    rows: list[dict[str, str | int]] = []
    for subject in registry.load(private):
        row: dict[str, str | int] = {
            "code": subject.code,
            "status": subject.status,
            "parts": folders.count(subject.code),
            "sessions": len({row.unit.number for row in read_sessions(paths, subject.code)}),
            "registered": subject.registered,
        }
        if reveal:
            person = subject.person
            row |= {
                "surname": person.surname,
                "given": person.given,
                "other_names": "; ".join(person.other_names),
                "mrn": person.mrn,
                "birth_date": person.birth_date,
            }
        rows.append(row)
    return rows


def layout(columns: Sequence[str], rows: Sequence[Mapping[str, str | int]]) -> str:
    """The rows as text, columns two spaces apart."""
    lines = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def refuse_export(config: "Config", path: Path, *, reveal: bool) -> None:
    """Raise ExportRefused for another form than .csv or .xlsx, and for names where names may not be."""
    from ecogvault.private import PrivateRefused, refuse_unless_ignored

    if path.suffix.casefold() not in (".csv", ".xlsx"):
        raise ExportRefused("--export writes .csv and .xlsx: let the file's name end so")
    if not reveal:
        return
    if config.results.resolve() in path.resolve().parents:
        raise ExportRefused(f"names may not lie in {config.results}: export to another folder")
    try:
        refuse_unless_ignored(path.parent, probes=(path.name,))
    except PrivateRefused:
        raise ExportRefused(
            "names may not lie in a git work tree where they are not ignored: export to another folder"
        ) from None


def export(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str | int]], *, mode: int) -> None:
    """Write the rows as a spreadsheet, whole or not at all."""
    import pandas as pd

    from ecogvault.files import replacing

    frame = pd.DataFrame([[_harmless(row[column]) for column in columns] for row in rows], columns=list(columns))
    buffer = io.BytesIO()
    if path.suffix.casefold() == ".csv":
        buffer.write(frame.to_csv(index=False).encode())
    else:
        frame.to_excel(buffer, index=False, sheet_name="subjects", engine="openpyxl")
    with replacing(path, mode=mode) as stream:
        stream.write(buffer.getvalue())


def _harmless(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
