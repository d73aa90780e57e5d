"""Dates moved by a number of days, as a header writes them."""

from datetime import date, timedelta

from ecogvault.edf.errors import BadRecording
from ecogvault.edf.timing import MONTHS

UNKNOWN_DATE = "01.01.85"
"""What stands for a day that is not to be told: the first one that the startdate field can say (EDF+ 2003, additional
specification 2). The specification names none; readers that check the date take this one."""

UNKNOWN_TIME = "00.00.00"


def named(day: date | None, days: int, where: str) -> str:
    """A date as the identification fields have it, `02-MAR-2002`, moved by `days`; X for none. Raises BadRecording."""
    if day is None:
        return "X"
    moved = _moved(day, days, where)
    return f"{moved.day:02}-{MONTHS[moved.month - 1]}-{moved.year:04}"


def short(day: date | None, days: int, where: str) -> str:
    """A date as the startdate field has it, `02.03.02`, moved by `days`; UNKNOWN_DATE for none. Raises BadRecording."""
    if day is None:
        return UNKNOWN_DATE
    moved = _moved(day, days, where)
    if not 1985 <= moved.year <= 2084:
        raise BadRecording(
            where,
            "its start date, shifted, lies outside the years 1985 to 2084, and the format cannot say it",
            "give the person another number of days",
        )
    return f"{moved.day:02}.{moved.month:02}.{moved.year % 100:02}"


def _moved(day: date, days: int, where: str) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise BadRecording(
            where, "a date of it, shifted, lies beyond all calendars", "give the person another number of days"
        ) from None
