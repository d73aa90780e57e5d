"""The one kind of error that is shown to a person.

Everything this project raises on purpose is an EcogvaultError. Its text is a single line that says what is wrong, where
(by coded path or private id, never by a patient's name) and what to do, and may be printed, logged and mailed.
"""

import traceback


class EcogvaultError(Exception):
    """What is wrong, where (by coded path) and what to do. Subclasses stand beside the code that raises them."""


class Damaged(EcogvaultError):
    """A file of ours does not match its own checksum: a byte was changed, added or lost."""


def safe_traceback(error: BaseException) -> str:
    """Where an error came from, without its text: the text of a foreign error may hold a raw path."""
    lines = []
    seen: BaseException | None = error
    while seen is not None:
        frames = traceback.StackSummary.extract(traceback.walk_tb(seen.__traceback__))
        lines += [f"{type(seen).__name__}, raised at (innermost last):", *(line.rstrip() for line in frames.format())]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(lines)
