"""The scrubbed header of a recording: a pure function from bytes to bytes of the same length.

Source: EDF+ 2003, section 2.1.3.3, items 3 (patient) and 4 (recording): subfields are separated by spaces, and `X`
stands for one that is unknown or not to be told.
"""

import re
from dataclasses import dataclass, field

from ecogvault.edf import moved
from ecogvault.edf.errors import SOMEWHERE
from ecogvault.edf.header import FIXED_PLACES, Header, parse_header, signal_places
from ecogvault.edf.policy import BLANK, CODE, KEEP, REPLACE, Policy, Rule, shipped
from ecogvault.edf.timing import has_no_recording_date, header_date, named_date, recording_date

# The specification's name of a field, and the policy's.
_SIGNAL_FIELDS = {
    "label": "label",
    "transducer_type": "transducer",
    "prefiltering": "prefilter",
    "reserved": "reserved",
}
_MARK = re.compile(r"(?:[EB]DF\+[CD]|24BIT)", re.IGNORECASE)
_PATIENT = re.compile(r"\S+ +([MFXmfx]) +(\S+) +\S+.*", re.DOTALL)
_SUBFIELDS = ("administration", "technician", "equipment")


@dataclass(frozen=True)
class Change:
    """One header field that was rewritten: its name, where it begins, its bytes before and after, and the number of
    its signal (from 1) if it is one's."""

    name: str
    offset: int
    before: bytes = field(repr=False)
    after: bytes
    signal: int | None = None


def scrubbed_header(
    header_bytes: bytes,
    code: str,
    where: str = SOMEWHERE,
    *,
    policy: Policy | None = None,
    shift_days: int = 0,
) -> tuple[bytes, list[Change]]:
    """The header as `policy` (by default the shipped `lab`) wants it for the subject `code`, and what changed.

    `header_bytes` is the whole header; the result has the same length, and differs only in fields that the policy
    names. The recording field keeps its own start date, or gets the header's; where neither exists, or the field says
    `Startdate X`, it says so. `shift_days` is added to every date that the policy shifts. Raises BadRecording,
    PolicyError if the policy keeps a date in spite of a shift, and ValueError if `code` is not a word of ASCII letters
    and digits.
    """
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,74}", code):
        raise ValueError("a subject code is one word of ASCII letters and digits")
    policy = policy or shipped()
    if shift_days:
        policy.require_shifts()
    header = parse_header(header_bytes, where)
    patched = bytearray(header_bytes)
    changes = []

    def put(name: str, place: slice, text: str | None, signal: int | None = None) -> None:
        before = header_bytes[place]
        after = before if text is None else text.encode("latin-1").ljust(len(before))
        if before != after:
            patched[place] = after
            changes.append(Change(name, place.start, before, after, signal))

    raw = {name: _text(header_bytes[place]) for name, place in FIXED_PLACES.items()}
    who, what = raw["local_patient_identification"], raw["local_recording_identification"]
    for name, new in (
        ("local_patient_identification", _patient(who, code, policy, shift_days, where)),
        ("local_recording_identification", _recording(what, header, code, policy, shift_days, where)),
        ("startdate", _startdate(header, policy, shift_days, where)),
        ("starttime", moved.UNKNOWN_TIME if policy["starttime"].verb == BLANK else None),
        ("reserved", _reserved(raw["reserved"], policy["reserved"])),
    ):
        put(name, FIXED_PLACES[name], new)
    for name, index, place in signal_places(len(header.signals)):
        if name in _SIGNAL_FIELDS and not (name == "label" and header.signals[index].label_is_the_formats):
            rule = policy[f"signals.{_SIGNAL_FIELDS[name]}"]
            unknown = f"channel {index + 1}" if name == "label" else ""
            put(name, place, _free_text(_text(header_bytes[place]), rule, code, unknown), index + 1)
    return bytes(patched), changes


def _text(raw: bytes) -> str:
    """A field byte by byte, so that what is kept is written as it was; without its padding."""
    return raw.decode("latin-1").rstrip(" \0")


def _patient(text: str, code: str, policy: Policy, shift_days: int, where: str) -> str:
    """The patient field. Sex and birth date can be kept only where the field is in EDF+'s form."""
    match = _PATIENT.fullmatch(text.replace("\0", " "))
    sex, birth = (match[1].upper(), named_date(match[2])) if match else ("X", None)
    born = "X" if policy["patient.birthdate"].verb == BLANK else moved.named(birth, shift_days, where)
    words = [
        _subfield("X", policy["patient.code"], code),
        _subfield(sex, policy["patient.sex"], code),
        born,
        _subfield("X", policy["patient.name"], code),
        _subfield("", policy["patient.additional"], code),
    ]
    return " ".join(filter(None, words))


def _recording(text: str, header: Header, code: str, policy: Policy, shift_days: int, where: str) -> str:
    """The recording field. Subfields can be kept only where the field is in EDF+'s form."""
    day = None if has_no_recording_date(text) else recording_date(text) or header_date(header.startdate)
    if policy["recording.startdate"].verb == BLANK:
        day = None
    parts = text.replace("\0", " ").split()
    parts = parts[2:] if len(parts) > 1 and parts[0].lower() == "startdate" else []
    named = dict(zip(_SUBFIELDS, parts, strict=False))
    words = ["Startdate", moved.named(day, shift_days, where)]
    words += [_subfield(named.get(name, "X"), policy[f"recording.{name}"], code) for name in _SUBFIELDS]
    words += [_subfield(" ".join(parts[3:]), policy["recording.additional"], code, unknown="")]
    # A date that was not there needs room: what is kept gives way from the end.
    for index in range(len(words) - 1, 1, -1):
        if len(" ".join(words)) > 80:
            words[index] = "X"
    return " ".join(filter(None, words))


def _subfield(text: str, rule: Rule, code: str, unknown: str = "X") -> str:
    if rule.verb in (CODE, REPLACE):
        return code if rule.verb == CODE else rule.text
    if not text or text == "X":
        return text
    return text if rule.keeps(text) else unknown


def _startdate(header: Header, policy: Policy, shift_days: int, where: str) -> str | None:
    """The startdate field by the policy; None to leave it as it is.

    What is no day that exists (`31.02.11`) is still close to the true one: a shift does not leave it to be read, and
    the day that the recording field names stands there instead, if it names one. Zeros and blanks say nothing, and
    stay.
    """
    if policy["startdate"].verb == BLANK:
        return moved.UNKNOWN_DATE
    if not shift_days or not header.startdate.strip("0./:'- "):
        return None
    day = header_date(header.startdate) or recording_date(header.local_recording_identification)
    return moved.short(day, shift_days, where)


def _reserved(text: str, rule: Rule) -> str | None:
    """The reserved field with nothing behind the mark of its format; None to leave it as it is."""
    mark = _MARK.match(text)
    kept = mark[0] if mark else ""
    return None if rule.verb == KEEP or text == kept else kept


def _free_text(text: str, rule: Rule, code: str, unknown: str) -> str | None:
    """A text of a signal by the policy; None to leave it as it is. What is empty is nobody's, and stays empty."""
    if not text.strip(" \0") or rule.keeps(text):
        return None
    return {CODE: code, REPLACE: rule.text}.get(rule.verb, unknown)
