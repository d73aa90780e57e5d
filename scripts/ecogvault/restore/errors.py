"""Why a restore is refused."""

from ecogvault.errors import EcogvaultError
from ecogvault.statement import StatementError


class NotWhatWasArchived(EcogvaultError):
    """What came back is not what the statement and the manifest say."""


class StatementOfAnother(StatementError):
    """The statement beside a tarball is signed and of this unit, but describes another ciphertext."""
