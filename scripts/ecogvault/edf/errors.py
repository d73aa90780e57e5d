"""What can be wrong with a recording. `where` in every message is the caller's coded path or private id."""

from ecogvault.errors import EcogvaultError

SOMEWHERE = "a recording"


class BadRecording(EcogvaultError):
    """A file that is not an EDF or BDF recording, is truncated, or cannot be read safely."""

    def __init__(self, where: str, reason: str, advice: str = "copy it from the hospital again, or exclude it") -> None:
        super().__init__(f"{where}: {reason}: {advice}")


class SourceChanged(EcogvaultError):
    """The source changed while it was read."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: the source changed while it was read: wait until it is complete, then run again")


class NotProven(EcogvaultError):
    """What was read back from disk is not what was meant to be written."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where}: the scrubbed copy, read back from disk, differs from its source behind the header: "
            "nothing was kept; check the disk and memory, then run again"
        )


class WouldOverwrite(EcogvaultError):
    """Source and target are the same file."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where}: the target is the source itself, and a source is never changed: choose another target"
        )
