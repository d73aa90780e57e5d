"""Bringing back what cannot be read at once, over hours and several runs: ask, remember, fetch, compare, restore.

One mechanism (tasks) for every such place: a vault's jobs (archive, whole, ranges), and objects of S3's archive classes
and of Azure's Archive tier, which can be read once they were brought back (thawed). What can be had the shortest is
fetched first; what ended before all was fetched is asked for again, for what is missing alone. Waiting is no failure.
"""

from ecogvault.retrieve.asked import restore_asked
from ecogvault.retrieve.tasks import NotAllRestored

__all__ = ["NotAllRestored", "restore_asked"]
