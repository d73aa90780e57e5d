"""Bringing units and files back from a vault, over hours and several runs: ask, remember, fetch, compare, restore.

A job's output can be had for 24 hours: the one that ends first is fetched first, and when a job is gone before all was
fetched, only the rest is asked for again. Waiting is no failure.
"""

from ecogvault.retrieve.asked import NotAllRestored, restore_asked

__all__ = ["NotAllRestored", "restore_asked"]
