"""Where copies are kept: one interface (base), one module per type of store."""

from typing import TYPE_CHECKING

from ecogvault.config import Destination
from ecogvault.stores.base import (
    Absent,
    Examined,
    Finding,
    Finite,
    KeepsUnfinished,
    Listed,
    LooksAhead,
    Mounted,
    Origin,
    Presence,
    Present,
    Source,
    Store,
    Stored,
    Unfinished,
    Unknown,
    UploadState,
)
from ecogvault.stores.errors import BadSettings, KeyTaken, StoreError
from ecogvault.stores.sources import BytesSource, FileSource, file_source

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

__all__ = [
    "Absent",
    "BytesSource",
    "Examined",
    "FileSource",
    "Finding",
    "Finite",
    "KeepsUnfinished",
    "KeyTaken",
    "Listed",
    "LooksAhead",
    "Mounted",
    "Origin",
    "Presence",
    "Present",
    "Source",
    "Store",
    "StoreError",
    "Stored",
    "Unfinished",
    "Unknown",
    "UploadState",
    "file_source",
    "open_store",
    "open_vault",
]


def open_store(destination: Destination, kind: str) -> Store:
    """The store where `destination` keeps units of `kind`. Makes no request. Raises BadSettings and ConfigError."""
    # Each type's client library takes up to half a second to load, in every job: only the one in use is loaded.
    if destination.type == "s3":
        from ecogvault.stores.s3 import S3Store

        return S3Store.from_destination(destination, kind)
    if destination.type == "azure":
        from ecogvault.stores.azure import AzureStore

        return AzureStore.from_destination(destination, kind)
    if destination.type == "folder":
        from ecogvault.stores.folder import FolderStore

        return FolderStore.from_destination(destination)
    if destination.type == "glacier":
        return open_vault(destination)
    raise BadSettings(f"destinations.{destination.name}.type is '{destination.type}', which this version cannot do")


def open_vault(destination: Destination) -> "VaultStore":
    """The vault of a destination of type `glacier`. Makes no request. Raises BadSettings, NoCredentials."""
    from ecogvault.stores.glacier import VaultStore

    return VaultStore.from_destination(destination)
