"""The configuration: read, checked against config.schema.yaml, and given as typed values.

Messages name the key's path (`destinations.s3.bucket`) and never show the file. Source: DESIGN, section 6.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from ecogvault import layout
from ecogvault.destination import ConfigError, Destination, per_kind
from ecogvault.naming import KINDS

DEFAULT_CONFIG = Path("config/config.yaml")
SCHEMA = Path(__file__).parents[2] / "config" / "config.schema.yaml"
# Amazon's; another service (endpoint_url) may have its own. Source: Amazon S3 API reference, PutObject.
STORAGE_CLASSES = (
    "STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER_IR GLACIER DEEP_ARCHIVE REDUCED_REDUNDANCY".split()
)

# What a key says when the file does not; destinations have their own, in Destination.
DEFAULTS: Mapping[str, Any] = {
    "results": "results",
    "private": "private",
    "private_group": None,
    "restored": "restored",
    "modernised": "modernised",
    "recipients": "config/recipients.txt",
    "registry_recipients": "config/registry_recipients.txt",
    "signers": "config/signers.txt",
    "signing_key": None,  # private/signing.key, wherever private is
    "age_identity": None,
    "age_passphrase_file": None,
    "legacy_password_file": None,
    "accept": "manual",
    "settle_minutes": 10,
    "timezone": "America/Los_Angeles",
    "sync_window_minutes": 10,
    "policy": "lab",
    "dates": "keep",
    "natus": "exact",
    "annotation_phrases": None,
    "link": "auto",
    "group": None,
    "mode": "750",
    "sealed": {"path": None, "keep": "until_verified"},
    "copies": None,
    "prices": "config/prices.yaml",
    "max_cost": None,
}


@dataclass(frozen=True)
class Config:
    """The whole configuration. Paths are as written: relative to the working directory."""

    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        value = self.values.get(key)
        return DEFAULTS[key] if value is None and key in DEFAULTS else value

    def path(self, key: str) -> Path:
        """The path that `key` holds."""
        return Path(self[key])

    @property
    def results(self) -> Path:
        """Everything named by code."""
        return self.path("results")

    @property
    def private(self) -> Path:
        """Everything that links codes to people."""
        return self.path("private")

    @property
    def signing_key(self) -> Path:
        """The archive machine's Ed25519 key."""
        return Path(self["signing_key"] or self.private / "signing.key")

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which the hospital's recorders write local times."""
        return ZoneInfo(self["timezone"])

    @property
    def shifts_dates(self) -> bool:
        """Whether dates are shifted by each person's secret number of days."""
        return bool(self["dates"] == "shift")

    @property
    def patches_natus(self) -> bool:
        """Whether the names in the known slots of vendor files are rewritten."""
        return bool(self["natus"] == "patch")

    @property
    def folder_mode(self) -> int:
        """Mode of de-identified folders."""
        return int(str(self["mode"]), 8)

    @property
    def file_mode(self) -> int:
        """Mode of de-identified files: the folders' without execution and setgid."""
        return self.folder_mode & 0o666

    @property
    def destinations(self) -> dict[str, Destination]:
        """Destinations by name, in the order of the file."""
        return {name: Destination(name, settings) for name, settings in (self["destinations"] or {}).items()}


def load(path: Path | None = None) -> Config:
    """Read and check a configuration file (config/config.yaml when none is given). Raises ConfigError."""
    source = path or DEFAULT_CONFIG
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {source}: run in the project's folder, or give --config FILE") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}{line} is not readable as YAML: check indentation and colons there") from None
    return check(values)


def check(values: Any) -> Config:
    """The configuration from its parsed YAML. Raises ConfigError naming the key."""
    import jsonschema  # 0.15 s that only those who check need to spend

    if not isinstance(values, Mapping):
        raise ConfigError("the configuration is empty, or not a list of keys with values")
    validator = jsonschema.Draft202012Validator(_schema())
    errors = sorted(validator.iter_errors(values), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        raise ConfigError(explain(errors[0], "the configuration"))
    config = Config(values)
    _check_meaning(config)
    return config


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return schema


def explain(error: Any, what: str) -> str:
    """One line for an error of jsonschema: the key's path in `what`, what is wrong with it, and what would be right."""
    while error.context:
        error = max(
            error.context, key=lambda inner: (len(inner.absolute_path), inner.validator == "additionalProperties")
        )
    path = ".".join(str(part) for part in error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        return f"{path}.{error.instance}: a name here is text like {error.validator_value}"
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        near = get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"{'.'.join(filter(None, [path, str(unknown)]))}: there is no such key in {what}; {hint}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{'.'.join(filter(None, [path, missing]))} is missing in {what}"
    wanted = {
        "enum": lambda: "one of " + ", ".join(str(value) for value in error.validator_value),
        "type": lambda: f"of type {error.validator_value}",
        "pattern": lambda: f"text like {error.validator_value}",
        "minimum": lambda: f"at least {error.validator_value}",
        "maximum": lambda: f"at most {error.validator_value}",
    }.get(error.validator, lambda: f"valid ({error.validator} {error.validator_value})")()
    quotes = " (write it in quotes)" if error.validator == "type" and wanted.endswith("string") else ""
    return f"{path or what} must be {wanted}{quotes}"


def _check_meaning(config: Config) -> None:
    """What a schema cannot say."""
    try:
        config.zone  # noqa: B018 - asking for it is the check
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError("timezone must be a name such as America/Los_Angeles") from None
    if config.folder_mode & 0o700 != 0o700:
        raise ConfigError("mode must let the owner in: its first digit of the last three is 7, as in 750 or 2770")
    private = os.path.abspath(config.private)
    for key in ("results", "restored", "modernised"):
        other = os.path.abspath(config.path(key))
        if os.path.commonpath([private, other]) in (private, other):
            raise ConfigError(f"{key} and private must be folders apart: names never lie where results do")
    _check_copies(config)
    for name, destination in config.destinations.items():
        if name == "any":
            raise ConfigError("destinations.any: `from=any` means the best copy: give the destination another name")
        if destination.leaves_plain_outside("vid"):
            raise ConfigError(
                f"destinations.{name}.encrypt.vid must be true: the vendor's files inside session folders hold names "
                "and leave the building only encrypted"
            )
        for kind in filter(destination.takes, KINDS):
            destination.room(kind)
        if destination.type == "s3":
            _check_s3(destination)
    layout.check(config.destinations.values())


def one_place(config: Config) -> list[str]:
    """What is to be said of destinations that are one place, so that one copy counts as two. Pure but for links."""
    found = []
    for one, other in combinations(config.destinations.values(), 2):
        shared = [
            kind for kind in KINDS if one.takes(kind) and other.takes(kind) and _place(one, kind) == _place(other, kind)
        ]
        if shared:
            found.append(
                f"destinations.{one.name} and destinations.{other.name} are one place for kind {', '.join(shared)}, so "
                "that one copy counts as two: remove one of them, or give it another place"
            )
    return found


def _place(destination: Destination, kind: str) -> tuple[str | None, ...]:
    """What copies of `kind` at two destinations have in common when they are the same copies."""
    settings, form = destination.settings, destination.form
    service = str(settings.get("endpoint_url") or "").rstrip("/").casefold()
    if destination.type == "glacier":  # archives have no keys; each region has vaults of its own
        return "glacier", service, settings.get("region"), settings["vault"]
    keys = layout.template(destination, kind)
    if form == "files" and destination.encrypts(kind):
        keys += ".age"  # as layout.file_key has it
    if destination.type == "folder":
        return "folder", form, keys, os.path.realpath(settings["path"])
    if destination.type == "azure":
        service = settings["account_url"].rstrip("/").casefold()
    return destination.type, form, keys, service, destination.room(kind)


def _check_copies(config: Config) -> None:
    copies = config["copies"] or {}
    named = copies.get("destinations", config.destinations)
    for name in named:
        if name not in config.destinations:
            raise ConfigError(f"copies.destinations: there is no destination '{name}'")
    if copies.get("minimum", 0) > len(named):
        raise ConfigError(f"copies.minimum is {copies['minimum']}, but only {len(named)} destinations can count")


def _check_s3(destination: Destination) -> None:
    settings, where = destination.settings, f"destinations.{destination.name}"
    storage_class = settings.get("storage_class")
    if storage_class and not settings.get("endpoint_url") and storage_class not in STORAGE_CLASSES:
        raise ConfigError(f"{where}.storage_class must be one of {', '.join(STORAGE_CLASSES)}")
    if settings.get("kms_key_id") and settings.get("sse") not in ("aws:kms", "aws:kms:dsse"):
        raise ConfigError(f"{where}.kms_key_id needs sse: aws:kms (or aws:kms:dsse)")


__all__ = [
    "DEFAULTS",
    "DEFAULT_CONFIG",
    "KINDS",
    "SCHEMA",
    "STORAGE_CLASSES",
    "Config",
    "ConfigError",
    "Destination",
    "check",
    "explain",
    "load",
    "per_kind",
]
