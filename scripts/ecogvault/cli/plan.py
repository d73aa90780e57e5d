"""`ecogvault plan`: what the vaults are still to get, and what a restore from them takes, in bytes, money and hours."""

import argparse
from typing import TYPE_CHECKING

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from ecogvault.config import Config


class NothingToPlan(EcogvaultError):
    """There is no vault, or nothing is known of what was named."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "plan",
        help="show what vaults cost before it is done",
        description="For each vault in the configuration: what is still to be sent (bytes, requests, money), and what "
        "deleting the copies of older generations would cost now. With --restore: what bringing units back takes, in "
        "each tier. Prices are those of the file `prices:`; sums are estimates. Asks nobody anything.",
    )
    parser.add_argument("--restore", metavar="CODE", help="a subject's code, or a unit: what bringing it back takes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Reckon, and print."""
    from ecogvault import costs
    from ecogvault.config import load

    config = load(args.config)
    vaults = [one for one in config.destinations.values() if one.type == "glacier"]
    if not vaults:
        raise NothingToPlan("no destination is of type glacier: only vaults are reckoned here")
    prices = costs.read_prices(config.path("prices"))
    lines = _restore(config, args.restore) if args.restore else _upload(config)
    print("\n".join(lines))
    print(f"prices of {prices.as_of}, from {config['prices']}: list prices, and estimates")
    return 0


def _upload(config: "Config") -> list[str]:
    from datetime import UTC, datetime

    from ecogvault import costs, ledger
    from ecogvault.naming import Unit
    from ecogvault.paths import Paths
    from ecogvault.private import open_private

    prices = costs.read_prices(config.path("prices"))
    private = open_private(config)
    lines = []
    for one in config.destinations.values():
        if one.type != "glacier":
            continue
        missing = costs.unsent(config, private, one)
        asked = costs.upload_cost(prices, list(missing.values()), costs.part_size_of(one))
        lines.append(f"{one.name}: to be sent: {asked.line()}")
        for journal in sorted(Paths.of(config).results.glob(f"*/ledger/{one.name}/*.jsonl")):
            known = ledger.copies(journal)
            for generation, copy in sorted(known.items()):
                for archive in copy.objects if generation < max(known) else ():
                    early = costs.early_deletion(
                        prices, int(archive["size"]), str(archive["archived_at"]), datetime.now(UTC)
                    )
                    if early is not None:
                        lines.append(
                            f"{one.name}: {Unit.parse(journal.stem)} generation {generation}, which is superseded: "
                            f"deleting it before {early[1]} would still cost {early[0]:.4f} USD"
                        )
    return lines


def _restore(config: "Config", what: str) -> list[str]:
    from ecogvault import costs, ledger
    from ecogvault.naming import Unit, require_code
    from ecogvault.paths import Paths

    prices = costs.read_prices(config.path("prices"))
    wanted = Unit.parse(what) if "_" in what else None
    code = wanted.code if wanted else require_code(what)
    lines = []
    for one in config.destinations.values():
        sizes = []
        for journal in sorted(Paths.of(config).subject(code).glob(f"ledger/{one.name}/*.jsonl")):
            complete = [copy for copy in ledger.copies(journal).values() if copy.evidence is not None]
            if wanted in (None, Unit.parse(journal.stem)) and complete:
                sizes.append(max(complete, key=lambda copy: copy.generation).size)
        if one.type == "glacier" and sizes:
            lines += [f"{one.name}: {costs.retrieval_cost(prices, sizes, tier).line()}" for tier in prices.tiers]
    if not lines:
        raise NothingToPlan(f"no ledger of a vault knows a complete copy of {what}")
    return lines
