"""SNC and VTC text: what the vendor's tools print about a session, copied by hand, and read by the lab's sync script.

* VTC: 10 header lines, then one line a video, `NAME_0007.avi [dd/mm/YYYY HH:MM:SS.fff]`, UTC. The lab's reader takes
  lines from the 11th on, the time as `line.split('[')[1][:-2]` in the form `%d/%m/%Y %H:%M:%S.%f`, and the video's
  number as `line.split('[')[0][-9:-5]`: so one blank stands before the bracket, and a line ends with `]` and a newline.
* SNC: 8 header lines, then rows of tab-separated columns. The first is a sample stamp, the last a FILETIME (UTC, 100 ns
  since 1601); the reader takes both as integers, from the 9th line on.

Files copied by hand have a BOM, CRLF, UTF-16, blank lines. What is written has none of them.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ecogvault import natus
from ecogvault.errors import EcogvaultError
from ecogvault.person import Person, fold, letters, words

VTC_HEADER_LINES = 10
SNC_HEADER_LINES = 8
REDACTED = "X"

_SAMPLE_BYTES = 64 * 1024
# A hand copy may have blank lines between its header lines.
_LONGEST_HEADER = 24
_FILETIME_1990, _FILETIME_2100 = 122_756_256_000_000_000, 157_469_184_000_000_000

_VTC_LINE = re.compile(
    r"(?P<before>.*)_(?P<number>\d{4})(?P<suffix>\.avi)\s*"
    r"\[\s*(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4})\s+"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2}):(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?\s*\]\s*",
    re.IGNORECASE | re.ASCII,
)
_SNC_LINE = re.compile(r"\s*(?P<stamp>-?\d{1,19})[ ]*\t(?P<middle>.*\t)?[ ]*(?P<filetime>\d{18})\s*", re.ASCII)
_IDENTIFYING = re.compile(
    r"[A-Za-z]:[\\/]|\\|(?:^|[\s\"'=:])~?/\w|\bpatient|\bpat\b|\bname\b|\bsurname|\bmrn\b|\bdob\b|\bbirth|\bborn\b"
    r"|\bgender\b|\bsex\b|\bssn\b|\bmedical record|\baddress\b|\bphysician|\bdoctor\b|\btechnician|\btechnologist"
    r"|\boperator\b|\buser\b",
    re.IGNORECASE,
)
# What may tell a date: with separators, with a month's name, or as digits alone (8: a day, 10: time_t, 18: FILETIME).
_DATED = re.compile(
    r"\d{1,4}\s?[-/.]\s?\d{1,2}\s?[-/.]\s?\d{1,4}|(?<!\d)\d{8,}(?!\d)|\b(?:19|20)\d\d\b"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b|\d{1,2}:\d{2}",
    re.IGNORECASE | re.ASCII,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class BadSyncText(EcogvaultError):
    """A text that is neither SNC nor VTC, or that the lab's reader could not read; the message says which line."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}: copy the text from the vendor's tool again")


def sniff(path: Path) -> str | None:
    """`snc`, `vtc`, or None for everything else, by content; only the first 64 KiB are read. Raises OSError."""
    with path.open("rb") as stream:
        data = stream.read(_SAMPLE_BYTES + 1)
    cut = len(data) > _SAMPLE_BYTES
    return kind_of(data[:_SAMPLE_BYTES], cut=cut)


def kind_of(data: bytes, *, cut: bool = False) -> str | None:
    """`snc`, `vtc` or None for the bytes of a file; with `cut`, the last line is incomplete and not looked at.

    It is one of them if, after at most 24 header lines, there is a line of that form, and of the lines that follow and
    are not blank at most a quarter are not.
    """
    text = _decoded(data)
    if text is None:
        return None
    lines = _lines(text)
    if cut:
        lines = lines[:-1]
    for kind, form in (("vtc", _VTC_LINE), ("snc", _SNC_LINE)):
        first = _first_row(lines, form)
        if first is None or first > _LONGEST_HEADER:
            continue
        rows = [line for line in lines[first:] if line.strip()]
        if 4 * sum(_is_row(line, form) for line in rows) >= 3 * len(rows):
            return kind
    return None


def start_of(data: bytes, *, cut: bool = False) -> datetime | None:
    """The time (UTC) of the earliest row of a text, or None for what is neither; `cut` as for kind_of."""
    kind = kind_of(data, cut=cut)
    text = _decoded(data)
    if kind is None or text is None:
        return None
    lines = _lines(text)[: -1 if cut else None]
    if kind == "snc":
        stamps = [int(match["filetime"]) for line in lines if (match := _SNC_LINE.fullmatch(line))]
        plausible = [stamp for stamp in stamps if _FILETIME_1990 <= stamp < _FILETIME_2100]
        return min(map(natus.time_of, plausible), default=None)
    times = [_vtc_time(match) for line in lines if (match := _VTC_LINE.fullmatch(line))]
    return min((time.replace(tzinfo=UTC) for time in times if time is not None), default=None)


def text_start(path: Path) -> datetime | None:
    """As start_of, for a file; only the first 64 KiB are read. Raises OSError."""
    with path.open("rb") as stream:
        data = stream.read(_SAMPLE_BYTES + 1)
    return start_of(data[:_SAMPLE_BYTES], cut=len(data) > _SAMPLE_BYTES)


def recode(
    data: bytes,
    original_stem: str | Sequence[str],
    coded_stem: str,
    person: Person,
    *,
    where: str = "a sync text",
    shift: timedelta = timedelta(0),
) -> bytes:
    """The text with coded names, as UTF-8 with LF, in the form that the lab's reader takes.

    Every occurrence of `original_stem` (or of each of several) becomes `coded_stem`, and so does whatever stands before
    `_NNNN.avi` in a VTC line. A header line, or a middle column of SNC, that holds a name, record number or birth date
    of `person`, and a header line that looks like a path or speaks of the patient or staff, becomes `X`. Stamps, times
    and video numbers stay as they are. The header gets its 10 (VTC) or 8 (SNC) lines: blank ones are dropped or added,
    surplus ones joined to the last; blank rows are dropped.

    `shift`, whole seconds, is added to all times of rows; header lines and middle columns that may hold a date become
    `X` then.

    Raises BadSyncText if it is neither kind, or a row cannot be read: rows are never dropped.
    """
    kind = kind_of(data)
    text = _decoded(data)
    if kind is None or text is None:
        raise BadSyncText(where, "it is neither SNC nor VTC text")
    lines = _lines(unicodedata.normalize("NFC", text))
    form, header_lines = (_VTC_LINE, VTC_HEADER_LINES) if kind == "vtc" else (_SNC_LINE, SNC_HEADER_LINES)
    first = _first_row(lines, form)
    if first is None:
        raise BadSyncText(where, "it has no rows")
    stems = _stem_patterns([original_stem] if isinstance(original_stem, str) else original_stem)

    def coded(line: str) -> str:
        for stem in stems:
            line = stem.sub(lambda _: coded_stem, line)
        return line

    hides = _hider(person, dates=bool(shift))
    written = [_header_line(line, coded(line), hides) for line in _fitted(lines[:first], header_lines)]
    for number, line in enumerate(lines[first:], first + 1):
        if line.strip():
            row = _vtc_row(line, coded_stem, shift) if kind == "vtc" else _snc_row(line, coded, hides, shift)
            if row is None:
                raise BadSyncText(where, f"line {number} is not a row of {kind.upper()} text")
            written.append(row)
    return "".join(line + "\n" for line in written).encode()


def _decoded(data: bytes) -> str | None:
    """The text of a file; None for what is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    elif data.startswith(b"\xef\xbb\xbf"):
        text = data[3:].decode("utf-8", errors="replace")
    elif b"\0" in data[:200]:
        # Without a BOM, ASCII in UTF-16 has its zeros in every second byte: behind the letter if little-endian.
        order = "utf-16-le" if data[1:200:2].count(0) > data[0:200:2].count(0) else "utf-16-be"
        text = data.decode(order, errors="replace")
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    return None if "\0" in text else text


def _lines(text: str) -> list[str]:
    return re.split(r"\r*\n|\r", text)


def _first_row(lines: list[str], form: re.Pattern[str]) -> int | None:
    return next((index for index, line in enumerate(lines) if _is_row(line, form)), None)


def _is_row(line: str, form: re.Pattern[str]) -> bool:
    match = form.fullmatch(line)
    if not match:
        return False
    return form is _VTC_LINE or _FILETIME_1990 <= int(match["filetime"]) < _FILETIME_2100


def _stem_patterns(stems: Sequence[str]) -> list[re.Pattern[str]]:
    """Patterns of stems, longer ones first: one may be the beginning of another."""
    patterns = map(_stem_pattern, sorted(set(stems), key=len, reverse=True))
    return [pattern for pattern in patterns if pattern is not None]


def _stem_pattern(stem: str) -> re.Pattern[str] | None:
    composed = unicodedata.normalize("NFC", stem)
    if not composed:
        return None
    literal = re.escape(composed)
    # A stem of one or two letters also occurs inside other words and numbers.
    return re.compile(literal if len(composed) > 2 else rf"(?<![^\W_]){literal}(?![^\W_])", re.IGNORECASE)


def _fitted(header: list[str], wanted: int) -> list[str]:
    """The header in exactly `wanted` lines."""
    lines = list(header)
    while len(lines) > wanted and any(not line.strip() for line in lines):
        lines.remove(next(line for line in reversed(lines) if not line.strip()))
    if len(lines) > wanted:
        lines[wanted - 1 :] = [" ".join(lines[wanted - 1 :])]
    return lines + [""] * (wanted - len(lines))


def _hider(person: Person, *, dates: bool) -> Callable[[str], bool]:
    """What says of a text, original stems aside, whether it is not to be shown."""
    return lambda text: holds_identifier(text, person) or (dates and _DATED.search(text) is not None)


def _header_line(line: str, coded: str, hides: Callable[[str], bool]) -> str:
    if hides(coded) or (_IDENTIFYING.search(line) and line.strip()):
        return REDACTED
    return coded


def vtc_line(name: str, time: datetime, fraction: str) -> str:
    """One row of VTC text, as the lab's reader takes it."""
    return f"{name} [{time:%d/%m}/{time.year:04}{time: %H:%M:%S}.{fraction}]"


def _vtc_time(match: re.Match[str]) -> datetime | None:
    """The time of a VTC row to the second, or None for one that no calendar has."""
    parts = ("year", "month", "day", "hour", "minute", "second")
    try:
        return datetime(*(int(match[part]) for part in parts))  # type: ignore[arg-type]
    except ValueError:
        return None


def _vtc_row(line: str, coded_stem: str, shift: timedelta) -> str | None:
    match = _VTC_LINE.fullmatch(line)
    time = _vtc_time(match) if match else None
    if match is None or time is None:
        return None
    fraction = (match["fraction"] or "000")[:6]
    return vtc_line(f"{coded_stem}_{match['number']}{match['suffix']}", time + shift, fraction)


def _snc_row(line: str, coded: Callable[[str], str], hides: Callable[[str], bool], shift: timedelta) -> str | None:
    match = _SNC_LINE.fullmatch(line)
    if not match or not _is_row(line, _SNC_LINE):
        return None
    middle = (match["middle"] or "").split("\t")[:-1]
    kept = [REDACTED if hides(coded(cell)) else coded(cell) for cell in middle]
    # Without a shift the digits stay as they were written.
    last = str(int(match["filetime"]) + filetimes(shift)) if shift else match["filetime"]
    return "\t".join([match["stamp"], *kept, last])


def filetimes(shift: timedelta) -> int:
    """A span in steps of 100 ns."""
    return shift // timedelta(microseconds=1) * 10


def holds_identifier(text: str, person: Person) -> bool:
    """Whether `text` may hold a name, the record number or the birth date of `person`; when in doubt, it does.

    Names of five letters or more count wherever their letters stand in this order, shorter ones only as words.
    """
    here, joined = set(words(text)), letters(text)
    names = [person.surname, *person.given.split(), *person.other_names]
    names += [part for name in names for part in re.split(r"[\W_]+", fold(name))]
    for name in names:
        form = letters(name)
        if len(form) >= 5 and form in joined:
            return True
        if len(form) >= 2 and (form in here or set(words(name)) <= here):
            return True
    number = letters(person.mrn).lstrip("0")
    return (len(number) >= 3 and number in joined) or _holds_date(text, person.birth_date)


def _holds_date(text: str, birth_date: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", birth_date):
        return False
    year, month, day = birth_date.split("-")
    digits = re.sub(r"\D+", "", text)
    if any(form in digits for form in (year + month + day, day + month + year, month + day + year)):
        return True
    name = _MONTHS[(int(month) - 1) % 12]
    return bool(re.search(rf"(?<!\d){day}\W*{name}[a-z]*\W*{year}(?!\d)", fold(text)))
