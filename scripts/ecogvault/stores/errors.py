"""What can go wrong between this program and a store, each with what to do."""

from ecogvault.errors import EcogvaultError


class StoreError(EcogvaultError):
    """A store could not do what was asked. Subclasses say why."""


class BadKey(StoreError):
    """A key that could leave the store's root, or that the store cannot hold."""


class BadSettings(StoreError):
    """The destination's settings do not fit this machine or this user."""


class BucketMissing(StoreError):
    """The bucket, or the root folder, does not exist."""


class NotFound(StoreError):
    """The object is not there."""


class NoCredentials(StoreError):
    """No credentials were found, or they are not valid."""


class Denied(StoreError):
    """The credentials are valid, but do not permit the request."""


class Exposed(StoreError):
    """Anybody could read what would be stored."""


class Unreachable(StoreError):
    """The service did not answer, also not after several attempts."""


class Archived(StoreError):
    """The object is in an archive tier and must be brought back before it can be read."""


class KeyTaken(StoreError):
    """The key is in use by other content, which is never overwritten."""


class WrongBytes(StoreError):
    """What was stored or received is not what was sent or confirmed."""


class SourceChanged(StoreError):
    """The content to send is not what it was when it was described: it changed while it was read."""
