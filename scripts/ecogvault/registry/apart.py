"""Raw folders lie apart from every folder that this program writes to: a hospital's export is read, never written."""

from collections.abc import Mapping
from pathlib import Path

from ecogvault.config import Config, ConfigError
from ecogvault.files import in_one_another
from ecogvault.naming import KINDS
from ecogvault.private import Private
from ecogvault.registry.tables import load_parts


def written_folders(config: Config) -> dict[str, Path]:
    """Folders that no raw folder may lie in or around, by what a message calls them."""
    own = {str(folder): folder for folder in (config.results, config.path("restored"))}
    return {**own, **{f"destination {name}": folder for name, folder in _copies_go_to(config).items()}}


def refuse_raw_destinations(config: Config, private: Private) -> None:
    """Raise ConfigError when copies would go to a folder that a registered raw folder lies in, is or contains.

    Raises Damaged, and OSError as it comes.
    """
    raw = load_parts(private)
    for name, folder in _copies_go_to(config).items():
        for part in raw:
            if in_one_another(folder, part.path):
                raise ConfigError(
                    f"destinations.{name}.path and a raw folder of {part.code} ({private.private_id(part.path)}) lie "
                    "in one another, and a raw folder is never written to: give the destination a folder elsewhere"
                )


def _copies_go_to(config: Config) -> Mapping[str, Path]:
    """The folder of each destination that something is written to: with `kinds: []` it is only read."""
    return {
        name: Path(one.settings["path"])
        for name, one in config.destinations.items()
        if one.type == "folder" and (any(map(one.takes, KINDS)) or one.settings.get("registry"))
    }
