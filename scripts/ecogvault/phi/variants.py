"""The spellings under which a person's identifiers may turn up in a path, a header or a file. Pure.

Upper and lower case are the scanner's business, and so are byte encodings: a spelling here is a text in NFC.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import product
from urllib.parse import quote

from ecogvault.person import Person, fold

LONG = 5
"""From this many characters on a spelling counts anywhere; a shorter one only as a whole word (DESIGN, section 6)."""

_APOSTROPHES = "'’‘ʼ`´"
_HYPHENS = "-‐‑–"
_APOSTROPHE_JOINS = (*_APOSTROPHES, "", " ", "-", "_")
_HYPHEN_JOINS = (*_HYPHENS, " ", "", "_")
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "ß": "ss"})
_NAME_JOINS = (" ", "", ", ", ",", "~ ", "~", "_", "-", ".", "^", " - ")
_PLAIN_JOINS = (" ", "", "_", "-")
_SPLIT = 7  # shorter record numbers, cut anywhere, are numbers of a table that stand side by side
_MONTHS = "January February March April May June July August September October November December".split()

# Words inside a longer name that are ordinary words or titles. They count when they are the whole name.
_PARTICLES = frozenset(
    "van von der den dem de del della di da das do dos du la le las los el al bin ibn ben zu zum zur ten ter te of "
    "and y e jr sr ii iii iv dr mr mrs ms prof".split()
)


@dataclass(frozen=True, repr=False)
class Variant:
    """One spelling: `text` in NFC and lower case, `kind` is surname, given, other, name, mrn or birth_date.

    `serial` is a birth date as a number of days: five digits, which mean something only where people write.
    """

    kind: str
    text: str
    serial: bool = False

    def __repr__(self) -> str:
        """The kind alone, so that no traceback or log can hold a name."""
        return f"Variant({self.kind})"


def variants(person: Person) -> frozenset[Variant]:
    """All spellings of the person's identifiers. Names with less than two letters are never a spelling."""
    found = {Variant("surname", text) for text in name_forms(person.surname)}
    found |= {Variant("given", text) for text in name_forms(person.given)}
    found |= {Variant("other", text) for other in person.other_names for text in name_forms(other)}
    found |= {Variant("name", text) for text in _full_names(person)}
    found |= {Variant("mrn", text) for text in mrn_forms(person.mrn)}
    found |= {Variant("birth_date", text) for text in date_forms(person.birth_date)}
    found |= {Variant("birth_date", text, serial=True) for text in serial_forms(person.birth_date)}
    return frozenset(found)


def _spellings(text: str) -> set[str]:
    """`text` in lower case as it is, without accents, and with German letters written out."""
    plain = unicodedata.normalize("NFC", " ".join(text.split())).lower()
    german = unicodedata.normalize("NFC", fold(plain.translate(_GERMAN)))
    return {plain, unicodedata.normalize("NFC", fold(plain)), german}


def _has_letters(text: str) -> bool:
    return sum(letter.isalpha() for letter in text) >= 2


def name_forms(name: str) -> frozenset[str]:
    """The spellings of one name: accents, apostrophes, hyphens, spaces kept, replaced, gone; its words alone."""
    forms: set[str] = set()
    for text in _spellings(name):
        pieces = [piece for piece in re.split(f"[{_HYPHENS}\\s]+", text) if piece]
        for inner, outer in product(_APOSTROPHE_JOINS, _HYPHEN_JOINS):
            forms.add(outer.join(re.sub(f"[{_APOSTROPHES}]", inner, piece) for piece in pieces))
        forms |= {re.sub(f"[{_APOSTROPHES}]", inner, text) for inner in _APOSTROPHE_JOINS}
        words = {re.sub(f"[{_APOSTROPHES}]", inner, piece) for piece in pieces for inner in ("'", "’", "")}
        words |= set(re.findall(r"[^\W\d_]+", text))
        forms |= {word for word in words if word not in _PARTICLES}
        forms |= {form for one in (text, *words - _PARTICLES) for form in _percent_encoded(one)}
    return frozenset(form.strip() for form in forms if _has_letters(form))


def _percent_encoded(text: str) -> set[str]:
    """`text` as in a URL, in UTF-8 (NFC and NFD) or CP1252.

    Accented letters differ by case there, which ignoring ASCII case does not even out.
    """
    cases = (text, text.upper(), text.title())
    encoded = {quote(cased, safe=" ", encoding="cp1252", errors="replace").lower() for cased in cases}
    encoded = {form for form in encoded if "%3f" not in form}  # a letter that CP1252 does not have
    for form in ("NFC", "NFD"):
        encoded |= {quote(unicodedata.normalize(form, cased), safe=" ").lower() for cased in cases}
    return {form.replace(" ", join) for form in encoded for join in ("+", "%20")}


def _short_forms(name: str) -> set[str]:
    """The few spellings of a name that are combined with other names: its words joined in the usual ways."""
    forms: set[str] = set()
    for text in _spellings(name):
        words = re.findall(r"[^\W\d_]+", text)
        forms |= {text, *(join.join(words) for join in _PLAIN_JOINS)}
        forms |= {word for word in words if word not in _PARTICLES}
    return {form for form in forms if form}


def _full_names(person: Person) -> Iterator[str]:
    surnames = _short_forms(person.surname)
    firsts = _short_forms(person.given).union(*(_short_forms(other) for other in person.other_names))
    for surname, first in product(surnames, firsts):
        if len(surname) + len(first) < 3:
            continue
        for join in _NAME_JOINS:
            yield f"{surname}{join}{first}"
        for join in _PLAIN_JOINS:
            yield f"{first}{join}{surname}"
        for join in ("~ ", ", ", " "):
            yield from _percent_encoded(f"{surname}{join}{first}")
        yield from _percent_encoded(f"{first} {surname}")


def mrn_forms(mrn: str) -> frozenset[str]:
    """A record number with and without separators, leading zeros and letters. Fewer than five characters never count.

    (A number of four digits is every year and many a file size.)
    """
    text = unicodedata.normalize("NFC", " ".join(mrn.split())).lower()
    groups = re.findall(r"[^\W_]+", text)
    whole = "".join(groups)
    digits = "".join(re.findall(r"\d+", whole))
    significant = [group for group in (groups[0].lstrip("0"), *groups[1:]) if group] if groups else []
    joins = ("", "-", " ", ".", "_", "/")
    forms = {text, *(join.join(parts) for join in joins for parts in (groups, significant))}
    for number in {whole, digits, digits.lstrip("0")}:
        forms.add(number)
        sizes = [*product((2, 3, 4), ("-", " ")), (3, "."), (3, ",")]
        if len(number) >= _SPLIT:
            forms |= {f"{number[:at]}{join}{number[at:]}" for at in range(2, len(number) - 1) for join in ("-", " ")}
            sizes += [(1, "-"), (1, " ")]
        for size, join in sizes:
            offset = len(number) % size
            forms.add(join.join(number[at : at + size] for at in range(0, len(number), size)))
            right = [number[:offset]] if offset else []
            forms.add(join.join(right + [number[at : at + size] for at in range(offset, len(number), size)]))
    return frozenset(form for form in forms if len(re.sub(r"[\W_]", "", form)) >= LONG)


def date_forms(iso: str) -> frozenset[str]:
    """A birth date (ISO 8601) as people and programs write it; an empty or unreadable one has no spellings.

    Years of two digits are left out where the month is a number: they are the dates of recordings as often as of
    births. So are 19 and 20, with which other years begin.
    """
    try:
        day = date.fromisoformat(iso)
    except ValueError:
        return frozenset()
    year, month = str(day.year), _MONTHS[day.month - 1].lower()
    d, m = (f"{day.day}", f"{day.day:02}"), (f"{day.month}", f"{day.month:02}")
    forms = {f"{year}{m[1]}{d[1]}", f"{d[1]}{m[1]}{year}", f"{m[1]}{d[1]}{year}"}
    for join in ("-", "/", ".", "_", " "):
        for i in (0, 1):
            forms |= {join.join((year, m[i], d[i])), join.join((d[i], m[i], year)), join.join((m[i], d[i], year))}
        for i, name in product((0, 1), (month, month[:3])):
            forms |= {join.join((d[i], name, year)), join.join((name, d[i], year)), join.join((year, name, d[i]))}
    nth = "th" if 4 <= day.day <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    for name in (month, month[:3]):
        forms |= {f"{d[0]}{nth} {name} {year}", f"{name} {d[0]}{nth} {year}", f"{name} {d[0]}{nth}, {year}"}
        forms.add(f"{d[0]}. {name}. {year}")
        if year[2:] not in ("19", "20"):
            forms |= {join.join((d[1], name, year[2:])) for join in ("-", "/", ".", " ", "")}
    for i, name in product((0, 1), (month, month[:3])):
        forms |= {f"{d[i]}{name}{year}", f"{name} {d[i]}, {year}", f"{d[i]}. {name} {year}"}
    return frozenset(forms)


def serial_forms(iso: str) -> frozenset[str]:
    """A birth date as OLE automation and spreadsheets count it: days since 1899-12-30 (Microsoft, MS-OAUT, 2.2.25)."""
    try:
        days = (date.fromisoformat(iso) - date(1899, 12, 30)).days
    except ValueError:
        return frozenset()
    return frozenset({str(days)} if days >= 10_000 else ())
