"""The one kind of error that is shown to a person.

Everything this project raises on purpose is an EcogvaultError. Its text is a single line that says what is wrong, where
(by coded path or private id, never by a patient's name) and what to do, and may be printed, logged and mailed.
"""


class EcogvaultError(Exception):
    """What is wrong, where (by coded path) and what to do. Subclasses stand beside the code that raises them."""


class Damaged(EcogvaultError):
    """A file of ours does not match its own checksum: a byte was changed, added or lost."""
