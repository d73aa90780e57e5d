"""The age file format, version 1 (C2SP age.md), on the primitives of `cryptography`.

Writing: read_recipients -> new_envelope -> Sealer (from beginning to end) or SealedView (by range).
Reading: read_identities -> decrypt_stream (from beginning to end) or open_sealed (by range).
"""

from ecogvault.age.armor import armor, dearmor
from ecogvault.age.chunks import CHUNK, SEALED_CHUNK, plain_size, sealed_size
from ecogvault.age.envelope import Envelope, Identity, new_envelope
from ecogvault.age.errors import (
    AgeError,
    ArmorError,
    BadIdentity,
    BadRecipient,
    HeaderError,
    HeaderMacError,
    MixedRecipients,
    NoMatchingIdentity,
    NoRecipients,
    PayloadError,
)
from ecogvault.age.keyfiles import (
    KeyPair,
    Listed,
    is_exposed,
    listed_recipients,
    read_identities,
    read_recipients,
    write_identity_file,
)
from ecogvault.age.keys import (
    HybridIdentity,
    HybridRecipient,
    Recipient,
    X25519Identity,
    X25519Recipient,
    generate,
    parse_identity,
    parse_recipient,
)
from ecogvault.age.opening import Plain, decrypt_stream, first_damage, open_sealed
from ecogvault.age.passphrase import Passphrase, read_passphrase_file
from ecogvault.age.sealing import SealedView, Sealer, SourceChanged, chunks_of_range, seal_range
from ecogvault.age.source import BytesSource, FileSource, ReadAt, ReadInto, Sink

__all__ = [
    "CHUNK",
    "SEALED_CHUNK",
    "AgeError",
    "ArmorError",
    "BadIdentity",
    "BadRecipient",
    "BytesSource",
    "Envelope",
    "FileSource",
    "HeaderError",
    "HeaderMacError",
    "HybridIdentity",
    "HybridRecipient",
    "Identity",
    "KeyPair",
    "Listed",
    "MixedRecipients",
    "NoMatchingIdentity",
    "NoRecipients",
    "Passphrase",
    "PayloadError",
    "Plain",
    "ReadAt",
    "ReadInto",
    "Recipient",
    "SealedView",
    "Sealer",
    "Sink",
    "SourceChanged",
    "X25519Identity",
    "X25519Recipient",
    "armor",
    "chunks_of_range",
    "dearmor",
    "decrypt_stream",
    "first_damage",
    "generate",
    "is_exposed",
    "listed_recipients",
    "new_envelope",
    "open_sealed",
    "parse_identity",
    "parse_recipient",
    "plain_size",
    "read_identities",
    "read_passphrase_file",
    "read_recipients",
    "seal_range",
    "sealed_size",
    "write_identity_file",
]
