"""What can be wrong with an archive of the old kind."""

from ecogvault.errors import Damaged, EcogvaultError


class NoCombination(EcogvaultError):
    """No cipher and digest give content that is recognised: most of all, the password is wrong."""


class LegacyDamaged(Damaged):
    """The password is right, but the archive was changed, or its end is missing."""


class Unsupported(EcogvaultError):
    """The archive holds something that this reader would not give back whole."""
