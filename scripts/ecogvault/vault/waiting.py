"""Waiting for a vault is no failure: what is waited for, and from when it is worth asking again."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOURS = {"Expedited": 5 / 60, "Standard": 5.0, "Bulk": 12.0, "inventory": 5.0}
"""The longest that each usually takes. Source: Developer Guide, "Archive Retrieval Options"; an inventory is as
Standard."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Waiting:
    """What is waited for, and the time (UTC, by the service's clock) from which it should be there."""

    what: str
    until: str

    def line(self, command: str | None) -> str:
        """What a person is told. `command` is the exact one to type again; None where another line says it."""
        shown = f"`{command}` " if command else ""
        return f"waiting for {self.what}: run {shown}again from {self.until.replace('T', ' ').rstrip('Z')} UTC"


def later(asked_at: str, tier: str) -> str:
    """When something that was asked for at `asked_at` should be there. Pure."""
    return plus(asked_at, HOURS[tier])


def plus(time: str, hours: float) -> str:
    """A time so many hours later. Pure."""
    return (parsed(time) + timedelta(hours=hours)).strftime(_TIME)


def parsed(time: str) -> datetime:
    """A time of the service: `2026-03-02T09:10:11Z`, with or without a fraction of a second."""
    return datetime.fromisoformat(time).astimezone(UTC)
