"""Intake: a raw export becomes items, start times and an accepted assignment of items to sessions.

`find` looks at folders, `headers` at times and patients, `order` is the pure middle, `assignment` keeps what was
accepted, and `plan` is what the Snakefile asks for.
"""

from ecogvault.intake.plan import SubjectPlan, accept, freeze, look, recorded
from ecogvault.intake.survey import IntakeError, Survey, coded_in, decide_match, survey

__all__ = [
    "IntakeError",
    "SubjectPlan",
    "Survey",
    "accept",
    "coded_in",
    "decide_match",
    "freeze",
    "look",
    "recorded",
    "survey",
]
