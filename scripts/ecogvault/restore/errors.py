"""Why a restore is refused."""

from ecogvault.errors import EcogvaultError


class NotWhatWasArchived(EcogvaultError):
    """What came back is not what the statement and the manifest say."""
