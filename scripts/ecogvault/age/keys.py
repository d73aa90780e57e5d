"""Recipients and age identities: X25519 (classical) and MLKEM768-X25519 (post-quantum hybrid, also called X-Wing).

Sources: C2SP age.md v1, "Native recipient types"; filippo.io/hpke-pq (MLKEM768-X25519: a seed of 32 bytes is expanded
by SHAKE-256 to an ML-KEM seed of 64 and an X25519 secret of 32 bytes; the public key is both public keys in that
order); RFC 9180, section 6.1 (HPKE SealBase).
"""

import hashlib
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from ecogvault.age.encoding import decode_base64, decode_bech32, encode_base64, encode_bech32
from ecogvault.age.errors import BadIdentity, BadRecipient, HeaderError
from ecogvault.age.header import Stanza, derive

ZERO_NONCE = bytes(12)
SECRET_PREFIX = "AGE-SECRET-KEY-"  # noqa: S105 (the fixed beginning of every age identity)
_X25519_INFO = b"age-encryption.org/v1/X25519"
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
_HYBRID = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_ENCAPSULATED_SIZE = 1120
_MLKEM_CIPHERTEXT_SIZE = 1088
_MLKEM_PUBLIC_SIZE = 1184


class Recipient(ABC):
    """The public half of an age identity: whom a file is encrypted to. Its text is what recipients.txt holds."""

    hybrid: bool

    @abstractmethod
    def __str__(self) -> str:
        """The text, `age1...` or `age1pq1...`."""

    @abstractmethod
    def wrap(self, file_key: bytes) -> Stanza:
        """A stanza from which the age identity of this recipient gets `file_key` (16 bytes) back."""

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of the text."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class X25519Recipient(Recipient):
    """A classical recipient, `age1...`. `public` has 32 bytes."""

    public: bytes
    hybrid = False

    def __str__(self) -> str:
        return encode_bech32("age", self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public))
        key = derive(shared, salt=share + self.public, info=_X25519_INFO)
        body = ChaCha20Poly1305(key).encrypt(ZERO_NONCE, file_key, None)
        return Stanza("X25519", (encode_base64(share),), body)


@dataclass(frozen=True)
class HybridRecipient(Recipient):
    """A post-quantum recipient, `age1pq1...`. `public` has 1,216 bytes."""

    public: bytes = field(repr=False)
    hybrid = True

    def __str__(self) -> str:
        return encode_bech32("age1pq", self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        sealed = _HYBRID.encrypt(file_key, _hybrid_public(self.public), _HYBRID_INFO)
        encapsulated = encode_base64(sealed[:_ENCAPSULATED_SIZE])
        return Stanza("mlkem768x25519", (encapsulated,), sealed[_ENCAPSULATED_SIZE:])


@lru_cache(maxsize=16)
def _hybrid_public(public: bytes) -> MLKEM768X25519PublicKey:
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_SIZE]),
        X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_SIZE:]),
    )


@dataclass(frozen=True)
class X25519Identity:
    """A classical age identity. `secret` has 32 bytes and is never shown by repr()."""

    secret: bytes = field(repr=False)

    def recipient(self) -> X25519Recipient:
        """The public half."""
        return X25519Recipient(X25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw())

    def secret_text(self) -> str:
        """The secret, as an age identity file holds it: `AGE-SECRET-KEY-1...`."""
        return encode_bech32(SECRET_PREFIX.lower(), self.secret).upper()

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, or None if the stanza is not for this identity. Raises HeaderError for a low-order share."""
        if stanza.kind != "X25519":
            return None
        share = decode_base64(stanza.arguments[0])
        private = X25519PrivateKey.from_private_bytes(self.secret)
        shared = _exchange(private, share)
        key = derive(shared, salt=share + private.public_key().public_bytes_raw(), info=_X25519_INFO)
        try:
            return ChaCha20Poly1305(key).decrypt(ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


@dataclass(frozen=True)
class HybridIdentity:
    """A post-quantum age identity. `secret` is a seed of 32 bytes and is never shown by repr()."""

    secret: bytes = field(repr=False)

    def _private(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        expanded = hashlib.shake_256(self.secret).digest(96)
        return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])

    def recipient(self) -> HybridRecipient:
        """The public half."""
        lattice, curve = self._private()
        return HybridRecipient(lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw())

    def secret_text(self) -> str:
        """The secret, as an age identity file holds it: `AGE-SECRET-KEY-PQ-1...`."""
        return encode_bech32(SECRET_PREFIX.lower() + "pq-", self.secret).upper()

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, or None if the stanza is not for this identity. Raises HeaderError for a low-order share."""
        if stanza.kind != "mlkem768x25519":
            return None
        encapsulated = decode_base64(stanza.arguments[0])
        lattice, curve = self._private()
        # HPKE reports a forbidden low-order share as a wrong tag; age wants it told apart, so it is looked at first.
        _exchange(curve, encapsulated[_MLKEM_CIPHERTEXT_SIZE:])
        try:
            return _HYBRID.decrypt(encapsulated + stanza.body, MLKEM768X25519PrivateKey(lattice, curve), _HYBRID_INFO)
        except InvalidTag:
            return None


def _exchange(private: X25519PrivateKey, share: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError:
        raise HeaderError("a stanza of the age header has a low-order share, which age forbids") from None


def generate(classic: bool = False) -> X25519Identity | HybridIdentity:
    """A new age identity from the system's random numbers: post-quantum, or X25519 with `classic`."""
    return X25519Identity(secrets.token_bytes(32)) if classic else HybridIdentity(secrets.token_bytes(32))


def looks_secret(text: str) -> bool:
    """Whether a text seems to hold a secret key, which must never be shown again nor sent anywhere."""
    upper = text.upper()
    return SECRET_PREFIX in upper or "PRIVATE KEY" in upper or upper.startswith("AGE-PLUGIN-")


def parse_recipient(text: str) -> Recipient:
    """The recipient that `text` writes. Raises BadRecipient; messages never repeat the text."""
    if looks_secret(text):
        raise BadRecipient(
            "this is a secret key where a recipient (age1...) belongs: remove it, and if others could read it, make a"
            " new one"
        )
    if text.startswith("ssh-"):
        raise BadRecipient("SSH keys are not supported as recipients: make an age key with 'ecogvault keygen'")
    try:
        prefix, data = decode_bech32(text)
    except ValueError as error:
        raise BadRecipient(f"this is not an age recipient (age1... or age1pq1...): {error}") from None
    try:
        if prefix == "age" and len(data) == 32:
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(data))
            return X25519Recipient(data)
        if prefix == "age1pq" and len(data) == 1216:
            _hybrid_public(data)
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(data[_MLKEM_PUBLIC_SIZE:]))
            return HybridRecipient(data)
    except ValueError:
        raise BadRecipient("this age recipient is not a valid public key") from None
    raise BadRecipient("this is a recipient of a type that is not supported: age1... and age1pq1... are")


def parse_identity(text: str) -> X25519Identity | HybridIdentity:
    """The age identity that `text` writes. Raises BadIdentity; messages never repeat the text."""
    try:
        prefix, data = decode_bech32(text)
    except ValueError as error:
        raise BadIdentity(f"this is not an age identity (AGE-SECRET-KEY-...): {error}") from None
    if prefix == SECRET_PREFIX and len(data) == 32:
        return X25519Identity(data)
    if prefix == SECRET_PREFIX + "PQ-" and len(data) == 32:
        return HybridIdentity(data)
    if prefix.startswith("age"):
        raise BadIdentity("this is a recipient (a public key) where an age identity (a secret key) belongs")
    raise BadIdentity("this is an age identity of a type that is not supported")
