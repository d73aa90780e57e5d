"""One class for each way in which an age file, a key or a list of recipients can be wrong."""

from ecogvault.errors import EcogvaultError


class AgeError(EcogvaultError):
    """Anything that is wrong with an age file or an age key."""


class HeaderError(AgeError):
    """The header is not what the age specification demands, or the file is not an age file."""


class HeaderMacError(AgeError):
    """A key opened the header, but the header's MAC does not match: the header was changed after it was made."""


class NoMatchingIdentity(AgeError):
    """None of the given age identities (or passphrases) opens the file."""


class PayloadError(AgeError):
    """The encrypted content was damaged, cut off, extended or rearranged; the message says at which chunk."""


class ArmorError(AgeError):
    """The ASCII armor around an age file is not what the age specification demands."""


class BadRecipient(AgeError):
    """A text is not an age recipient that this program can encrypt to."""


class BadIdentity(AgeError):
    """An age identity file, or a line of it, cannot be used."""


class MixedRecipients(AgeError):
    """Recipients that must not share a file: post-quantum with classical ones, or a passphrase with anything else."""


class NoRecipients(AgeError):
    """There is nobody to encrypt to."""
