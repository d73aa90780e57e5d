"""The age keys that the configuration names: whom everything is encrypted to, and what opens it again."""

from collections.abc import Sequence
from pathlib import Path

from ecogvault.age import Identity, Recipient, read_identities, read_passphrase_file, read_recipients
from ecogvault.config import Config, ConfigError


def recipients(config: Config) -> list[Recipient]:
    """Whom everything is encrypted to: at least two, the second is the escrow. Raises ConfigError, age.BadRecipient."""
    return _listed(config, "recipients")


def registry_recipients(config: Config) -> list[Recipient]:
    """Whom the registry's own copy is encrypted to: at least two. Raises ConfigError, age.BadRecipient."""
    return _listed(config, "registry_recipients")


def _listed(config: Config, setting: str) -> list[Recipient]:
    path = config.path(setting)
    try:
        found = read_recipients(path)
    except FileNotFoundError:
        raise ConfigError(
            f"{setting}: there is no file {path}: make keys with `ecogvault keygen`, and list their recipients there"
        ) from None
    if len({str(one) for one in found}) < 2:
        raise ConfigError(
            f"{setting}: {path} must list at least two different recipients, the second being the escrow: "
            "with one key alone, its loss is the loss of everything"
        )
    return found


def identities(config: Config) -> Sequence[Identity]:
    """The age identities of the configuration. Raises ConfigError when none is named, age.BadIdentity."""
    if config["age_identity"] is None:
        raise ConfigError("age_identity is not set: restores need the path of an age identity file there")
    path = config.path("age_identity")
    secret = config["age_passphrase_file"]
    try:
        return read_identities(path, (lambda: read_passphrase_file(Path(secret))) if secret else None)
    except FileNotFoundError:
        raise ConfigError(f"age_identity: there is no file {path}") from None
