"""An age identity on paper: what is typed back is checked line by line.

A data line is `3/6  XXXXXXXX XXXXXXXX  #check`: its number and how many there are, the text in groups of eight, and
four letters and digits: 20 bits of SHA-256 over number, count and text, in the alphabet of Bech32, which has neither 1,
b, i nor o. Without this program the text of all lines, without spaces, numbers and checks, is what an age identity file
holds: either the secret key itself, or the lines of an armored age file that a passphrase opens. Of a protected key the
paper holds the secret key alone, encrypted again, without the long recipient that its file repeats: six lines or seven.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecogvault.age.armor import BEGIN, END, dearmor
from ecogvault.age.encoding import BECH32_CHARSET
from ecogvault.age.errors import AgeError, BadIdentity
from ecogvault.age.header import parse_header
from ecogvault.age.keyfiles import KeyPair, identity_file_text, protected
from ecogvault.age.keys import parse_identity

GROUP = 8
_SECRET_COLUMNS = 32
_CHECK_LENGTH = 4
_DATA = re.compile(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s+(.*?)\s*#\s*(\S+)\s*")
_TYPED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-"
_SHOWN = 24  # characters of a long recipient at each end

_HOW_TO = """\
To type it back: copy the numbered lines below into a plain text file, each as it
stands here, spaces as you like, and run

    ecogvault paper-key --from-paper TYPED.txt -o KEY

It names every line with a typing error. Then `ecogvault keycheck -i KEY` proves
the key. The lines have {alphabet}.

Without ecogvault: {without}
"""
_CLEAR = """\
WHOEVER READS THIS PAPER CAN OPEN EVERYTHING THAT IS ENCRYPTED TO THIS KEY.
Keep it in a safe.
"""
_PROTECTED = """\
This key is protected by a passphrase, which is not on this paper. Keep it
elsewhere: neither is of any use without the other. What the passphrase opens is
one line that begins with AGE-SECRET-KEY-.
"""
_CLEAR_ALPHABET = "capital letters, digits and -; after the first 20\nthere is no 1, B, I or O"
_CLEAR_WITHOUT = """\
the texts of all lines, without numbers, spaces and what
stands behind #, as one line of a file, AGE-SECRET-KEY-..., are the key file."""
_PROTECTED_ALPHABET = "capital and small letters, which differ, digits,\n+, / and ="
_PROTECTED_WITHOUT = f"""\
the text of each line, without number, spaces and what stands
behind #, as a line of a file that begins and ends with the lines

    {BEGIN.decode()}
    {END.decode()}

is the key file; the age tool asks for its passphrase."""


class BadPaper(BadIdentity):
    """What was typed from paper is not what was printed; the message names the lines."""


@dataclass(frozen=True)
class Typed:
    """What came back from paper: the age identity itself, or the armored file that a passphrase opens."""

    identity: KeyPair | None
    armored: bytes | None

    def file_bytes(self) -> bytes:
        """The age identity file."""
        if self.identity is not None:
            return identity_file_text(self.identity).encode()
        assert self.armored is not None
        return self.armored


def paper_text(identity: KeyPair, passphrase: bytes | None, *, made: str, comment: str = "") -> str:
    """The page to print. `made` is its date, `comment` a line of the user's; with a passphrase the key is encrypted."""
    recipient = str(identity.recipient())
    shown = recipient if len(recipient) <= 2 * _SHOWN + 20 else f"{recipient[:_SHOWN]}...{recipient[-_SHOWN:]}"
    secret = identity.secret_text()
    if passphrase is None:
        texts = [secret[at : at + _SECRET_COLUMNS] for at in range(0, len(secret), _SECRET_COLUMNS)]
        alphabet, without = _CLEAR_ALPHABET, _CLEAR_WITHOUT
    else:
        texts = protected(f"{secret}\n".encode(), passphrase).decode().splitlines()[1:-1]
        alphabet, without = _PROTECTED_ALPHABET, _PROTECTED_WITHOUT
    parts = [
        "AN AGE KEY ON PAPER",
        f"made {made}" + (f"   {comment}" if comment else ""),
        f"recipient    {shown}\nfingerprint  {identity.recipient().fingerprint}",
        (_CLEAR if passphrase is None else _PROTECTED).rstrip(),
        _HOW_TO.format(alphabet=alphabet, without=without).rstrip(),
        "\n\n".join(_lines(texts)),
    ]
    return "\n\n".join(parts) + "\n"


def _lines(texts: Sequence[str]) -> Iterator[str]:
    for number, text in enumerate(texts, start=1):
        groups = " ".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))
        yield f"{number}/{len(texts)}  {groups}  #{check_of(number, len(texts), text)}"


def check_of(number: int, count: int, text: str) -> str:
    """The four characters behind a line's text (without its spaces)."""
    value = int.from_bytes(hashlib.sha256(f"{number}/{count}:{text}".encode()).digest()[:3], "big") >> 4
    return "".join(BECH32_CHARSET[value >> 5 * place & 31] for place in reversed(range(_CHECK_LENGTH)))


def read_paper(text: str) -> Typed:
    """What was typed back. Other lines than data lines are passed over.

    Raises BadPaper naming every line that is missing, doubled or has a typing error, with the character that must be
    wrong where only one can be; it never repeats a line.
    """
    found: dict[int, tuple[str, str]] = {}
    count = 0
    for line in text.splitlines():
        match = _DATA.fullmatch(line)
        if match is None:
            continue
        number, count = int(match[1]), max(count, int(match[2]))
        if number in found:
            raise BadPaper(f"line {number} is there twice: type each line once")
        found[number] = (_cased(number, int(match[2]), "".join(match[3].split()), match[4].lower()), match[4].lower())
    if not found:
        raise BadPaper("there is no line as the paper has them, such as '1/6  XXXXXXXX XXXXXXXX  #abcd'")
    faults = [f"line {number} of {count} is missing" for number in range(1, count + 1) if number not in found]
    for number, (typed, check) in sorted(found.items()):
        faults += _faults(number, count, typed, check)
    if faults:
        raise BadPaper("; ".join(faults))
    return _whole([typed for _, (typed, _) in sorted(found.items())])


def _cased(number: int, count: int, typed: str, check: str) -> str:
    """The text in capitals, as a secret key is printed, if it was typed in small letters and is right so."""
    return typed.upper() if check == check_of(number, count, typed.upper()) else typed


def _faults(number: int, count: int, typed: str, check: str) -> list[str]:
    if number > count or number < 1:
        return [f"there is no line {number} of {count}"]
    if check == check_of(number, count, typed):
        return []
    fits = [
        (place, character)
        for place in range(len(typed))
        for character in _TYPED
        if character != typed[place]
        and check == check_of(number, count, f"{typed[:place]}{character}{typed[place + 1 :]}")
    ]
    hint = ""
    if len(fits) == 1:
        group, place = divmod(fits[0][0], GROUP)
        hint = f" (look at group {group + 1}, character {place + 1})"
    return [f"line {number} has a typing error{hint}"]


def _whole(texts: list[str]) -> Typed:
    joined = "".join(texts)
    if joined.startswith("AGE-SECRET-KEY-"):
        return Typed(parse_identity(joined), None)
    armored = b"\n".join([BEGIN, *(text.encode() for text in texts), END, b""])
    try:
        parse_header(dearmor(armored))
    except AgeError as error:
        raise BadPaper(f"the lines are as they were printed, but are no key: {error}") from None
    return Typed(None, armored)
