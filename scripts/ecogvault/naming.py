"""Coded names: what a unit, a file and an object are called. Pure; a name goes in here and only codes come out."""

import re
from dataclasses import dataclass

from ecogvault.errors import EcogvaultError

CODE_PATTERN = "[a-f][0-9a-f]{7}"
NUMBER_PATTERN = "[1-9][0-9]*"
RECORDING_KINDS = ("edf", "bdf")
KINDS = (*RECORDING_KINDS, "vid", "sync")

_UNIT = re.compile(f"({CODE_PATTERN})_({NUMBER_PATTERN})_({'|'.join(KINDS)})")


class NotACode(EcogvaultError):
    """A text that should be a subject code or a unit is none."""


@dataclass(frozen=True, order=True)
class Unit:
    """What is archived as one: one kind of one session of one subject. `str(unit)` is `df5c5206_3_vid`."""

    code: str
    number: int
    kind: str

    def __str__(self) -> str:
        return f"{self.code}_{self.number}_{self.kind}"

    @property
    def session(self) -> str:
        """The session's coded name, `df5c5206_3`."""
        return f"{self.code}_{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Unit":
        """The unit that `text` names. Raises NotACode."""
        match = _UNIT.fullmatch(text)
        if not match:
            raise NotACode(
                f"not a unit: a unit is CODE_NUMBER_KIND, such as df5c5206_3_vid (kinds: {', '.join(KINDS)})"
            )
        return cls(match[1], int(match[2]), match[3])
