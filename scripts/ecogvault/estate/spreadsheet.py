"""The lab's online spreadsheet: which name stands for which code. Read once, into the registry.

Columns are found by their heads, whatever their case: `code` (also `id`, `subject`), and `name` (as `Last, First`,
`Last~ First` or `First Last`) or `surname` (`last name`) and `given` (`first name`); `mrn` and `birth_date` if they are
there. Messages say row and column, never what stands in them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.errors import EcogvaultError
from ecogvault.naming import CODE_PATTERN
from ecogvault.person import Person
from ecogvault.registry import make_person

_HEADS = {
    "code": ("code", "id", "subject", "subject code", "patient code"),
    "name": ("name", "patient", "patient name"),
    "surname": ("surname", "last name", "lastname", "last"),
    "given": ("given", "first name", "firstname", "first", "given name"),
    "mrn": ("mrn", "medical record number", "record number"),
    "birth_date": ("birth_date", "birth date", "date of birth", "dob"),
}


class BadSpreadsheet(EcogvaultError):
    """The spreadsheet cannot be read as codes and names."""


@dataclass(frozen=True)
class Row:
    """One line: a code, and the person if a name stands beside it."""

    number: int
    code: str
    person: Person | None


def read_spreadsheet(path: Path) -> list[Row]:
    """The rows of a CSV or XLSX file. Raises BadSpreadsheet naming row and column, and OSError as it comes."""
    import pandas as pd

    try:
        if path.suffix.casefold() == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        elif path.suffix.casefold() in (".xlsx", ".xlsm"):
            table = pd.read_excel(path, dtype=str, keep_default_na=False)
        else:
            raise BadSpreadsheet("the spreadsheet must be a .csv or .xlsx file")
    except (ValueError, KeyError, UnicodeDecodeError):
        raise BadSpreadsheet("the spreadsheet is not a readable CSV or XLSX file") from None
    heads = {str(head).strip().casefold(): head for head in table.columns}
    columns = {what: next((heads[name] for name in names if name in heads), None) for what, names in _HEADS.items()}
    if columns["code"] is None or (columns["name"] is None and columns["surname"] is None):
        raise BadSpreadsheet("the spreadsheet needs a column `code`, and `name` or `surname` and `given`")
    rows = []
    seen: dict[str, int] = {}
    for number, record in enumerate(table.to_dict("records"), start=2):
        row = _row(number, record, columns)
        if row is None:
            continue
        if row.code in seen:
            raise BadSpreadsheet(f"row {number}: the code of row {seen[row.code]} again; one person has one code")
        seen[row.code] = number
        rows.append(row)
    return rows


def _row(number: int, record: dict[Any, Any], columns: dict[str, Any]) -> Row | None:
    def cell(what: str) -> str:
        return str(record[columns[what]]).strip() if columns[what] is not None else ""

    code = cell("code").casefold()
    surname, given = cell("surname"), cell("given")
    if not surname and cell("name"):
        surname, given = split_name(cell("name"))
    if not code and not surname:
        return None
    if not re.fullmatch(CODE_PATTERN, code):
        raise BadSpreadsheet(f"row {number}, column code: it is no code (a letter a to f and seven digits 0 to f)")
    if not surname:
        return Row(number, code, None)
    try:
        person = make_person(surname, given, mrn=cell("mrn"), birth_date=cell("birth_date"))
    except EcogvaultError as error:
        raise BadSpreadsheet(f"row {number}: {error}") from None
    return Row(number, code, person)


def split_name(text: str) -> tuple[str, str]:
    """Surname and given names of a name in one cell. Pure. `First Last` has its last word for the surname."""
    for mark in (",", "~"):
        if mark in text:
            surname, _, given = text.partition(mark)
            return surname.strip(), given.strip()
    given, _, surname = text.strip().rpartition(" ")
    return surname.strip(), given.strip()
