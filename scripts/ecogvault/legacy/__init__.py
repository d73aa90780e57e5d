"""Archives of the past: `tar z | openssl enc -des`, with -des3 or -aes-256-cbc instead, or single files. Reading alone.

open_legacy finds out how an archive was made, unpacks it, and says what proves that it is whole.
"""

from ecogvault.legacy.ciphers import CIPHERS, DIGESTS, PBKDF2_ITERATIONS
from ecogvault.legacy.errors import LegacyDamaged, NoCombination, Unsupported
from ecogvault.legacy.open import UNPROVEN, Made, Opened, open_legacy

__all__ = [
    "CIPHERS",
    "DIGESTS",
    "PBKDF2_ITERATIONS",
    "UNPROVEN",
    "LegacyDamaged",
    "Made",
    "NoCombination",
    "Opened",
    "Unsupported",
    "open_legacy",
]
