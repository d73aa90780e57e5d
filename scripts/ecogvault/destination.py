"""A destination as the configuration has it: what goes there, in which form, and whether encrypted. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecogvault.errors import EcogvaultError


class ConfigError(EcogvaultError):
    """The configuration is wrong; the message names the key."""


@dataclass(frozen=True)
class Destination:
    """A named place where copies go. `settings` is its part of the configuration as written."""

    name: str
    settings: Mapping[str, Any]

    @property
    def type(self) -> str:
        """`s3`, `glacier`, `azure` or `folder`."""
        return str(self.settings["type"])

    @property
    def inside(self) -> bool:
        """Whether it lies inside the building."""
        return bool(self.settings["zone"] == "inside")

    @property
    def form(self) -> str:
        """`files` or `tarball`."""
        return str(self.settings["form"])

    def bucket(self, kind: str) -> str:
        """The bucket for units of `kind`. Raises ConfigError when none is named."""
        bucket = per_kind(self.settings.get("bucket"), kind)
        if bucket is None:
            raise ConfigError(f"destinations.{self.name}.bucket names no bucket for kind {kind}: add it")
        return str(bucket)

    def container(self, kind: str) -> str:
        """The container for units of `kind`. Raises ConfigError when none is named."""
        container = per_kind(self.settings.get("container"), kind)
        if container is None:
            raise ConfigError(f"destinations.{self.name}.container names no container for kind {kind}: add it")
        return str(container)

    def room(self, kind: str) -> str:
        """Where below the destination units of `kind` lie: a bucket or container; empty in a folder."""
        if self.type == "s3":
            return self.bucket(kind)
        return self.container(kind) if self.type == "azure" else ""

    def takes(self, kind: str) -> bool:
        """Whether units of `kind` go there at all (`kinds:`, by default all)."""
        kinds = self.settings.get("kinds")
        return kinds is None or kind in kinds or (kind == "bdf" and "edf" in kinds)

    def encrypts(self, kind: str) -> bool:
        """Whether copies of `kind` are encrypted: tarballs always; files as `encrypt:` says, by default if outside."""
        if self.form == "tarball":
            return True
        value = per_kind(self.settings.get("encrypt"), kind)
        return not self.inside if value is None else bool(value)

    def leaves_plain_outside(self, kind: str) -> bool:
        """Whether bytes of `kind` leave the building unencrypted on the way there."""
        return self.takes(kind) and not self.inside and not self.encrypts(kind)

    def excludes(self, kind: str) -> tuple[str, ...]:
        """Patterns (fnmatch) of file names of `kind` that are not sent there."""
        value = self.settings.get("exclude")
        patterns = per_kind(value, kind) if isinstance(value, Mapping) else value
        return tuple(patterns or ())


def per_kind(value: Any, kind: str) -> Any:
    """`value`, or its entry for `kind` where it is given by kind. What holds for `edf` holds for `bdf`."""
    if not isinstance(value, Mapping):
        return value
    if kind == "bdf" and "bdf" not in value:
        kind = "edf"
    return value.get(kind)
