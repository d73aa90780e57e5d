"""What the registry refuses. No message holds anything of a person."""

from ecogvault.errors import EcogvaultError


class BadPerson(EcogvaultError):
    """Person data cannot be used; the message names the field, never its content."""


class RegistryRefused(EcogvaultError):
    """A registration contradicts what is registered; the message names codes."""
