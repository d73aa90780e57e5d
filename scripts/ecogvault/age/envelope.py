"""Everything about one age file but its content: the header, the file key that it wraps, and the payload's nonce."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ecogvault.age.chunks import NONCE_SIZE
from ecogvault.age.errors import HeaderError, MixedRecipients, NoMatchingIdentity, NoRecipients
from ecogvault.age.header import Header, Stanza, check_mac, derive, parse_header, render_header
from ecogvault.age.keys import HybridIdentity, Recipient, X25519Identity
from ecogvault.age.passphrase import Passphrase

FILE_KEY_SIZE = 16

Identity = X25519Identity | HybridIdentity | Passphrase
"""Anything that opens files."""


class Wraps(Protocol):
    """Anything that a file can be encrypted to: a Recipient or a Passphrase."""

    def wrap(self, file_key: bytes) -> Stanza:
        """A stanza that holds `file_key`."""


@dataclass(frozen=True)
class Envelope:
    """Header, file key (16 bytes) and nonce (16 bytes) of one age file.

    Key and nonce are for one content only: sealing another content with them gives both contents away.
    """

    header: bytes
    file_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)

    @staticmethod
    def restore(header: bytes, file_key: bytes, nonce: bytes) -> "Envelope":
        """The envelope of a transfer that goes on. Raises HeaderError and HeaderMacError if the parts do not fit."""
        parsed = parse_header(header)
        if parsed.raw != header or len(file_key) != FILE_KEY_SIZE or len(nonce) != NONCE_SIZE:
            raise HeaderError("what was kept of an age envelope is not whole")
        check_mac(parsed, file_key)
        return Envelope(header, file_key, nonce)

    def payload_aead(self) -> ChaCha20Poly1305:
        """The cipher of the payload's chunks."""
        return ChaCha20Poly1305(derive(self.file_key, salt=self.nonce, info=b"payload"))

    def readdressed(self, recipients: Sequence[Wraps]) -> "Envelope":
        """The same file key and nonce under a header for other recipients: the payload can stay as it is.

        Whoever could open the old file keeps the power to open the new one. Raises as new_envelope does.
        """
        return replace(self, header=_header(recipients, self.file_key))


def new_envelope(recipients: Sequence[Wraps]) -> Envelope:
    """A fresh file key and nonce, wrapped for each of `recipients`.

    Raises NoRecipients, and MixedRecipients when post-quantum recipients are mixed with classical ones (the file would
    be no safer than its weakest recipient) or a passphrase with anything else (age forbids it).
    """
    file_key = secrets.token_bytes(FILE_KEY_SIZE)
    return Envelope(_header(recipients, file_key), file_key, secrets.token_bytes(NONCE_SIZE))


def _header(recipients: Sequence[Wraps], file_key: bytes) -> bytes:
    if not recipients:
        raise NoRecipients("there is no recipient to encrypt to: recipients.txt needs at least one age1... line")
    if len(recipients) > 1 and not all(isinstance(recipient, Recipient) for recipient in recipients):
        raise MixedRecipients("a passphrase must be the only recipient of an age file")
    if len({recipient.hybrid for recipient in recipients if isinstance(recipient, Recipient)}) > 1:
        raise MixedRecipients(
            "post-quantum (age1pq1...) and classical (age1...) recipients cannot share a file, which would be no"
            " safer than the classical ones: use one kind"
        )
    return render_header([recipient.wrap(file_key) for recipient in recipients], file_key)


def open_envelope(header: Header, nonce: bytes, identities: Sequence[Identity]) -> Envelope:
    """The envelope that one of `identities` opens. Raises NoMatchingIdentity, HeaderError and HeaderMacError."""
    for identity in identities:
        for stanza in header.stanzas:
            file_key = identity.unwrap(stanza)
            if file_key is not None:
                check_mac(header, file_key)
                return Envelope(header.raw, file_key, nonce)
    kinds = ", ".join(sorted({stanza.kind for stanza in header.stanzas if stanza.kind in _KNOWN})) or "unknown types"
    raise NoMatchingIdentity(
        f"none of the {len(identities)} given age identities opens this file (encrypted to: {kinds})"
    )


_KNOWN = ("X25519", "mlkem768x25519", "scrypt")
