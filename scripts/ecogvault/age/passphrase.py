"""A passphrase as recipient and as age identity.

Source: C2SP age.md v1, "The scrypt recipient type"; RFC 7914.
"""

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ecogvault.age.encoding import decode_base64, encode_base64
from ecogvault.age.errors import BadIdentity, HeaderError
from ecogvault.age.header import Stanza
from ecogvault.age.keys import ZERO_NONCE

WORK_FACTOR = 18
# 2 to the power of 22 takes 4 GiB and half a minute; the age tool has the same limit.
WORK_FACTOR_LIMIT = 22
_SALT_LABEL = b"age-encryption.org/v1/scrypt"


@dataclass(frozen=True)
class Passphrase:
    """A passphrase to encrypt with or to try on a file. `work_factor` is the binary logarithm of scrypt's N.

    Encrypting takes 128 * 2**work_factor * 8 bytes of memory (256 MiB for 18), and so does decrypting.
    """

    secret: bytes = field(repr=False)
    work_factor: int = WORK_FACTOR

    def _key(self, salt: bytes, work_factor: int) -> bytes:
        return Scrypt(salt=_SALT_LABEL + salt, length=32, n=1 << work_factor, r=8, p=1).derive(self.secret)

    def wrap(self, file_key: bytes) -> Stanza:
        """A stanza from which this passphrase gets `file_key` (16 bytes) back."""
        salt = secrets.token_bytes(16)
        body = ChaCha20Poly1305(self._key(salt, self.work_factor)).encrypt(ZERO_NONCE, file_key, None)
        return Stanza("scrypt", (encode_base64(salt), str(self.work_factor).encode()), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, or None if this is not the passphrase. Raises HeaderError for an absurd work factor."""
        if stanza.kind != "scrypt":
            return None
        work_factor = int(stanza.arguments[1])
        if work_factor > WORK_FACTOR_LIMIT:
            raise HeaderError(
                f"the age header asks for a work factor of {work_factor}; at most {WORK_FACTOR_LIMIT} is allowed"
            )
        key = self._key(decode_base64(stanza.arguments[0]), work_factor)
        try:
            return ChaCha20Poly1305(key).decrypt(ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


def read_passphrase_file(path: Path) -> bytes:
    """The passphrase in the first line of `path`, without its line end.

    Raises BadIdentity when others than the owner may read the file, when it is not a regular file, or when the first
    line is empty; OSError as it comes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadIdentity(f"{path} is not a regular file: a passphrase file must be one")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise BadIdentity(f"{path} may be read by others: run 'chmod 600' on it")
        passphrase = stream.readline(4096).rstrip(b"\r\n")
    if not passphrase:
        raise BadIdentity(f"{path} has no passphrase in its first line")
    return passphrase
