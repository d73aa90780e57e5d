"""A person as the registry knows them, and the folding under which two spellings of a name are the same name."""

import re
import unicodedata
from dataclasses import dataclass

# Letters that Unicode does not decompose into a base letter and a mark.
_UNDECOMPOSED = str.maketrans(
    {"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ð": "d", "þ": "th", "ł": "l", "đ": "d", "ħ": "h", "ı": "i"}
)


@dataclass(frozen=True)
class Person:
    """One patient. `birth_date` is ISO 8601 (`1987-04-09`); an unknown text is empty."""

    surname: str
    given: str = ""
    other_names: tuple[str, ...] = ()
    mrn: str = ""
    birth_date: str = ""

    def __repr__(self) -> str:
        """Nothing of a person, so that no traceback or log can hold a name."""
        return "Person(...)"


def fold(text: str) -> str:
    """`text` without case and accents: `Émile O'Brian-Žák` becomes `emile o'brian-zak`."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_UNDECOMPOSED))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def letters(text: str) -> str:
    """The letters and digits of `text`, folded: `O'Brian-Žák` becomes `obrianzak`."""
    return re.sub(r"[\W_]+", "", fold(text))


def words(text: str) -> list[str]:
    """The folded words of `text`: runs of letters, or of digits, between anything else."""
    return re.findall(r"[^\W\d_]+|\d+", fold(text))
