"""`ecogvault preflight`: whether the destinations are as they should be, before anything is sent."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecogvault.config import Config
    from ecogvault.stores import Store


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "preflight",
        help="look whether the destinations are as they should be",
        description="Asks each destination what can be asked without storing anything. For S3, per bucket: does it"
        " answer, is it public (nothing is sent to such a one), does it keep versions, does it encrypt, does a"
        " lifecycle rule remove unfinished uploads, could these credentials delete. For Azure, per"
        " container: does it answer, is it public, can deleted blobs be brought back, could these credentials delete."
        " The exit status is 1 if a"
        " destination cannot be used.",
    )
    parser.add_argument("destination", nargs="*", metavar="DESTINATION", help="by default all")
    parser.set_defaults(run=run)


def chosen(config: "Config", names: Sequence[str]) -> list[str]:
    """The destinations that were named, or all. Raises ConfigError for one that is not there."""
    from ecogvault.config import ConfigError

    unknown = [name for name in names if name not in config.destinations]
    if unknown:
        raise ConfigError(f"there is no destination '{unknown[0]}'; known: {', '.join(config.destinations)}")
    return list(names or config.destinations)


def run(args: argparse.Namespace) -> int:
    """Look at every place of every destination."""
    from ecogvault import config
    from ecogvault.naming import KINDS
    from ecogvault.stores import StoreError, open_store

    settings = config.load(args.config)
    usable = True
    for name in chosen(settings, args.destination):
        destination = settings.destinations[name]
        seen: set[str] = set()
        for kind in filter(destination.takes, KINDS):
            try:
                store = open_store(destination, kind)
            except StoreError as error:  # settings that no kind can be sent with are told once
                if str(error) not in seen:
                    seen.add(str(error))
                    print(f"{name}:\n  refused  {error}")
                usable = False
                continue
            if store.where in seen:
                continue
            seen.add(store.where)
            print(f"{name}: {store.where}", flush=True)
            try:
                usable = _look(store) and usable
            except StoreError as error:
                print(f"  refused  {error}")
                usable = False
    return 0 if usable else 1


def _look(store: "Store") -> bool:
    """Print what is found about one place. Whether it can be used."""
    from ecogvault.stores import Examined

    if not isinstance(store, Examined):
        store.preflight()
        print("  ok       it can be written to")
        return True
    usable = True
    for finding in store.examine():
        print(f"  {finding.level:<8} {finding.text}", flush=True)
        usable = usable and finding.level != "refused"
    return usable
