"""Phrases that an annotation may say without anybody having looked at it: those that come along, and the lab's own.

A file has one phrase a line, `#` begins a comment line. Phrases are compared as a whole after `normalised`. In a phrase
`{n}`, `{time}` and `{channel}` stand for what FORMS has; no other braces are known.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ecogvault.config import Config, ConfigError

SHIPPED = Path(__file__).with_name("phrases.txt")
KEY = "annotation_phrases"

# No form has room for a record number or a word.
FORMS = {
    "n": r"[-+]?\d{1,4}(?:[.,]\d{1,3})?",
    "time": r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,3})?)?(?: ?[ap]m)?",
    "channel": r"(?:[a-z]{1,4}'?\d{1,3}|[a-z]{1,2}z)",
}
_AROUND = " .,;:!?\"'()[]<>*#_-"


class BadPhrases(ConfigError):
    """A file of phrases cannot be used; the message names the line, never what it says."""


@dataclass(frozen=True)
class Phrases:
    """A set of phrases. Nothing of the lab's own shows in a repr."""

    exact: frozenset[str]
    patterns: re.Pattern[str]

    def __repr__(self) -> str:
        """How many, and nothing else."""
        return f"Phrases({len(self.exact)})"

    def allow(self, text: str) -> bool:
        """Whether the whole of `text` is one of the phrases. What has no letter or digit at all says nothing."""
        plain = normalised(text)
        return not plain or plain in self.exact or self.patterns.fullmatch(plain) is not None


def normalised(text: str) -> str:
    """`text` for comparing: NFKC, in lower case, blanks and control characters as one blank, no punctuation around."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in folded)
    return " ".join(spaced.split()).strip(_AROUND)


def parse(lines: Iterable[str], what: str) -> Phrases:
    """The phrases in `lines`. `what` is how messages call them. Raises BadPhrases."""
    exact, patterns = set(), set()
    for number, line in enumerate(lines, start=1):
        phrase = line.strip()
        if not phrase or phrase.startswith("#"):
            continue
        plain = normalised(phrase)
        if not plain:
            raise BadPhrases(f"{what}, line {number}: a phrase needs a letter or a digit")
        if "{" not in plain and "}" not in plain:
            exact.add(plain)
            continue
        parts = re.split(r"\{(\w+)\}", plain)  # literal, name, literal, ...
        if not FORMS.keys() >= {*parts[1::2]} or re.search("[{}]", "".join(parts[::2])):
            known = ", ".join(f"{{{name}}}" for name in FORMS)
            raise BadPhrases(f"{what}, line {number}: in braces stand only {known}")
        patterns.add("".join(FORMS[part] if place % 2 else re.escape(part) for place, part in enumerate(parts)))
    return Phrases(frozenset(exact), re.compile("|".join(sorted(patterns)) or r"(?!)"))


def load(config: Config) -> Phrases:
    """The phrases that come along, and the lab's own. Raises BadPhrases."""
    shipped = SHIPPED.read_text(encoding="utf-8").splitlines()
    own = _own(config)
    parse(own, f"the file of {KEY}")  # so that a message counts the lines of that file
    return parse([*shipped, *own], KEY)


def digest(config: Config) -> str:
    """12 hex digits that change when the lab's own phrases do; empty without any. Raises BadPhrases."""
    own = "\n".join(_own(config))
    return hashlib.sha256(own.encode()).hexdigest()[:12] if own else ""


def _own(config: Config) -> list[str]:
    if not config[KEY]:
        return []
    try:
        return config.path(KEY).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise BadPhrases(f"{KEY}: there is no such file: correct the path, or set it to null") from None
    except UnicodeDecodeError:
        raise BadPhrases(f"{KEY}: the file is not UTF-8: save it as UTF-8") from None
