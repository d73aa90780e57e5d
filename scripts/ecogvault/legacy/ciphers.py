"""Ciphers and keys of `openssl enc`.

A salted archive begins with `Salted__` and 8 bytes of salt, an unsalted one with the ciphertext. Key and IV are one
string derived from the password: by EVP_BytesToKey with one round of MD5 (OpenSSL before 1.1.0) or SHA-256 (since), or
by PBKDF2 where `-pbkdf2` was given. Source: OpenSSL manual, openssl-enc(1) and EVP_BytesToKey(3); RFC 8018, 5.2.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

SALT_MAGIC = b"Salted__"
SALT_END = 16
BASE64_START = b"U2FsdGVkX1"
"""What `Salted__` is in base64: how an archive made with `-a` begins."""

# Name as in `openssl enc -NAME`: length of the key and of a block in bytes.
CIPHERS = {"des": (8, 8), "des3": (24, 8), "aes-256-cbc": (32, 16)}
DIGESTS = ("md5", "sha256")
LARGEST_BLOCK = 16
PBKDF2_ITERATIONS = 10_000
"""What `openssl enc -pbkdf2` takes without `-iter`."""


@dataclass(frozen=True)
class Combination:
    """One way in which an archive may have been made; `iterations` is PBKDF2's, None without it."""

    cipher: str
    digest: str
    iterations: int | None = None

    @property
    def block(self) -> int:
        """Bytes in one block of the cipher."""
        return CIPHERS[self.cipher][1]

    def __str__(self) -> str:
        return f"{self.cipher}, key by {'EVP_BytesToKey' if self.iterations is None else 'PBKDF2'} with {self.digest}"


def combinations(
    cipher: str | None = None, digest: str | None = None, iterations: int | None = None
) -> Iterator[Combination]:
    """All combinations to try, or those with this cipher and digest."""
    for one_cipher in CIPHERS if cipher is None else (cipher,):
        for one_digest in DIGESTS if digest is None else (digest,):
            yield Combination(one_cipher, one_digest, iterations)


def salt_of(head: bytes) -> bytes:
    """The salt of the archive that begins with `head`; empty when it is unsalted."""
    return head[len(SALT_MAGIC) : SALT_END] if head.startswith(SALT_MAGIC) and len(head) >= SALT_END else b""


def derive(combination: Combination, password: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Key and IV."""
    key, block = CIPHERS[combination.cipher]
    if combination.iterations is not None:
        text = hashlib.pbkdf2_hmac(combination.digest, password, salt, combination.iterations, key + block)
        return text[:key], text[key:]
    text = piece = b""
    while len(text) < key + block:
        piece = hashlib.new(combination.digest, piece + password + salt, usedforsecurity=False).digest()
        text += piece
    return text[:key], text[key : key + block]


def decryptor(combination: Combination, password: bytes, salt: bytes) -> CipherContext:
    """A context whose `update` turns whole blocks of ciphertext into plaintext; padding stays in it."""
    key, iv = derive(combination, password, salt)
    if combination.cipher == "aes-256-cbc":
        return Cipher(AES(key), CBC(iv)).decryptor()
    # Single DES is triple DES with three equal keys: encrypt, decrypt, encrypt. The library has no other.
    return Cipher(TripleDES(key * (24 // len(key))), CBC(iv)).decryptor()


def padding_of(end: bytes, block: int) -> int:
    """How many bytes of padding a plaintext with this end has; 0 when the end is no valid padding.

    Source: RFC 5652, 6.3, which OpenSSL calls standard block padding.
    """
    count = end[-1] if end else 0
    return count if 1 <= count <= block and end[-count:] == bytes([count]) * count else 0
