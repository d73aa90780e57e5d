"""What sending to a vault and bringing back from it costs, before it is done.

Prices are in a dated file that people edit. Sums are estimates at these prices: bytes are exact where a tarball or a
ledger is there, the plain size where not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from ecogvault import ledger, registry
from ecogvault.config import Config, ConfigError, Destination
from ecogvault.errors import EcogvaultError
from ecogvault.intake.assignment import read_units
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.sizes import exact

GB = 1000**3
MIB = 1024**2
DAYS_A_MONTH = 30.0
_TIERS = ("Expedited", "Standard", "Bulk")


class TooDear(EcogvaultError):
    """What is about to be done would cost more than `max_cost`."""


@dataclass(frozen=True)
class Prices:
    """The file's prices for vaults (USD), and the day that they are of."""

    as_of: str
    glacier: Mapping[str, Any]

    @property
    def tiers(self) -> Mapping[str, Mapping[str, float]]:
        """Retrieval prices by tier."""
        found: Mapping[str, Mapping[str, float]] = self.glacier["retrieval"]
        return found


@dataclass(frozen=True)
class Upload:
    """What sending some archives costs: once for requests, and each month for storage."""

    archives: int
    size: int
    requests: int
    once: float
    monthly: float
    minimum: float
    """All that is owed for them at least: requests, and storage for the shortest time that is charged."""

    def line(self) -> str:
        """In words."""
        return f"{self.archives} archives, {exact(self.size)}, {self.requests} requests: {self.money()}"

    def money(self) -> str:
        """The sums alone, in words."""
        return f"{self.once:.2f} USD once, {self.monthly:.2f} USD a month, {self.minimum:.2f} USD at least"


@dataclass(frozen=True)
class Retrieval:
    """What bringing some archives back in a tier costs, transfer out of Amazon included."""

    tier: str
    archives: int
    size: int
    money: float
    hours: float

    def line(self) -> str:
        """In words."""
        return (
            f"{self.tier}: {self.archives} archives, {exact(self.size)}: {self.money:.2f} USD,"
            f" within about {self.hours:g} hours"
        )


def read_prices(path: Path) -> Prices:
    """The price file. Raises ConfigError naming what is wrong."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        told = values["glacier"]
        single = ("storage_gb_month", "overhead_bytes", "minimum_days", "upload_1000_requests", "transfer_out_gb")
        numbers = [told[name] for name in single]
        numbers += [told["retrieval"][tier][name] for tier in _TIERS for name in ("gb", "requests_1000", "hours")]
        as_of = str(values["as_of"])
    except FileNotFoundError:
        raise ConfigError(f"prices: there is no file {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError):
        raise ConfigError(f"prices: {path} is not readable as YAML of prices") from None
    except KeyError as error:
        raise ConfigError(f"prices: {path} lacks {error.args[0]}") from None
    if any(isinstance(number, bool) or not isinstance(number, int | float) or number < 0 for number in numbers):
        raise ConfigError(f"prices: in {path} every price is a number, 0 or more")
    return Prices(as_of, told)


def upload_cost(prices: Prices, sizes: Sequence[int], part_size: int) -> Upload:
    """What archives of these sizes cost to send and to keep. Pure."""
    requests = sum(2 + -(-size // part_size) for size in sizes)
    kept = sum(size + prices.glacier["overhead_bytes"] for size in sizes)
    once = requests / 1000 * prices.glacier["upload_1000_requests"]
    monthly = kept / GB * prices.glacier["storage_gb_month"]
    minimum = once + monthly * prices.glacier["minimum_days"] / DAYS_A_MONTH
    return Upload(len(sizes), sum(sizes), requests, once, monthly, minimum)


def retrieval_cost(prices: Prices, sizes: Sequence[int], tier: str) -> Retrieval:
    """What archives (or ranges) of these sizes cost to bring back in a tier. Pure."""
    told = prices.tiers[tier]
    size = sum(sizes)
    money = size / GB * (told["gb"] + prices.glacier["transfer_out_gb"]) + len(sizes) / 1000 * told["requests_1000"]
    return Retrieval(tier, len(sizes), size, money, float(told["hours"]))


def early_deletion(prices: Prices, size: int, archived_at: str, now: datetime) -> tuple[float, str] | None:
    """What deleting an archive now would cost, and the day from which it is free; None when that is past. Pure."""
    free = datetime.fromisoformat(archived_at).astimezone(UTC) + timedelta(days=prices.glacier["minimum_days"])
    if free <= now:
        return None
    months = (free - now) / timedelta(days=DAYS_A_MONTH)
    kept = (size + prices.glacier["overhead_bytes"]) / GB
    return kept * prices.glacier["storage_gb_month"] * months, free.date().isoformat()


# --- of this lab ------------------------------------------------------------------------------------------------------


def part_size_of(destination: Destination) -> int:
    """The part size of a vault's uploads in bytes."""
    return int(destination.settings.get("part_size_mib") or 64) * MIB


def unsent(config: Config, private: Private, destination: Destination) -> dict[Unit, int]:
    """The units of open subjects whose newest content a vault does not have yet, with the bytes that they take there.

    Where no sealed tarball is, the bytes are those of the manifest; a unit without one is not made yet, and left out.
    """
    paths = Paths.of(config)
    found: dict[Unit, int] = {}
    for subject in registry.load(private):
        if subject.status != "open":
            continue
        for state in read_units(paths, subject.code).values():
            unit = state.unit
            if not state.generation or not destination.takes(unit.kind):
                continue
            copy = ledger.copies(paths.ledger(destination.name, unit)).get(state.generation)
            if copy is not None and copy.evidence and copy.manifest_sha256 == state.manifest_sha256:
                continue
            size = _size_of(paths, unit)
            if size is not None:
                found[unit] = size
    return found


def _size_of(paths: Paths, unit: Unit) -> int | None:
    try:
        return paths.sealed(unit).stat().st_size
    except FileNotFoundError:
        pass
    try:
        return Manifest.read(paths.manifest(unit)).total_size
    except FileNotFoundError:
        return None


def require_affordable(config: Config, money: float, what: str) -> None:
    """Raise TooDear if `money` (USD) is more than `max_cost`."""
    limit = config["max_cost"]
    if limit is not None and money > float(limit):
        raise TooDear(
            f"{what} would cost about {money:.2f} USD, and max_cost is {float(limit):.2f}: `ecogvault plan` shows the "
            "sums; raise max_cost, or do less at once"
        )


def require_affordable_run(config: Config, private: Private) -> None:
    """Before anything is sent: raise TooDear if all that the vaults are still to get costs more than `max_cost`."""
    if config["max_cost"] is None:
        return
    prices = read_prices(config.path("prices"))
    vaults = [one for one in config.destinations.values() if one.type == "glacier"]
    money = sum(
        upload_cost(prices, list(unsent(config, private, one).values()), part_size_of(one)).minimum for one in vaults
    )
    require_affordable(config, money, "sending what the vaults lack")


def require_affordable_archive(config: Config, vault: Destination, size: int) -> None:
    """Raise TooDear if sending one archive of `size` bytes to a vault costs more than `max_cost`."""
    if config["max_cost"] is not None:
        money = upload_cost(read_prices(config.path("prices")), [size], part_size_of(vault)).minimum
        require_affordable(config, money, f"sending {size} bytes to {vault.name}")


def require_affordable_retrieval(config: Config, sizes: Iterable[int], tier: str) -> None:
    """Raise TooDear if bringing these back costs more than `max_cost`."""
    if config["max_cost"] is not None:
        asked = retrieval_cost(read_prices(config.path("prices")), list(sizes), tier)
        require_affordable(config, asked.money, f"bringing back {asked.size} bytes ({tier})")
