"""What interrupted uploads have left at the destinations, and which of it nobody will go on with."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from ecogvault import layout
from ecogvault.config import Config, Destination
from ecogvault.files import holder
from ecogvault.naming import KINDS
from ecogvault.paths import Paths
from ecogvault.registry_copy.fetch import PREFIX
from ecogvault.sizes import fitting
from ecogvault.stores import KeepsUnfinished, Unfinished, open_store
from ecogvault.transfer import unfinished_uploads

GIB = 1 << 30
# USD for a GiB and month: Amazon's list price of S3 Standard in us-west-2, as of 2025. Parts of an unfinished upload to
# an archive class are charged as that (Amazon S3 user guide, "Multipart upload and pricing"), to other classes as less.
PRICE = 0.023


class Fate(Enum):
    """What is to become of an unfinished upload."""

    RUNNING = "running now"
    WAITING = "the next run goes on with it"
    YOUNG = "too young to be called abandoned"
    FOREIGN = "not ours"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Found:
    """An unfinished upload at a destination, in `where`."""

    destination: str
    where: str
    store: KeepsUnfinished
    upload: Unfinished
    fate: Fate


def survey(config: Config, names: list[str], *, older_than: timedelta) -> Iterator[Found]:
    """Every unfinished upload at the destinations `names`. Raises StoreError, Damaged.

    Ours are those whose key is one that the layout gives to a subject of this folder. One that no state here knows may
    be another machine's: until it is `older_than`, it is called young.
    """
    paths = Paths.of(config)
    now = datetime.now(UTC)
    for name in names:
        destination = config.destinations[name]
        known: dict[str, Fate] = {}
        for state in paths.results.glob(f"*/transfer/{name}/*.json"):
            state_of = Fate.RUNNING if holder(state.with_suffix(".lock")) else Fate.WAITING
            known |= dict.fromkeys(unfinished_uploads(state), state_of)
        seen = set()
        for kind in filter(destination.takes, KINDS):
            store = open_store(destination, kind)
            if store.where in seen or not isinstance(store, KeepsUnfinished):
                continue
            seen.add(store.where)
            for upload in store.unfinished():
                fate = known.get(upload.upload_id)
                if fate is None and not _is_ours(paths, destination, upload.key):
                    fate = Fate.FOREIGN
                if fate is None:
                    fate = Fate.YOUNG if now - upload.begun < older_than else Fate.ABANDONED
                yield Found(name, store.where, store, upload, fate)


def cost(config: Config, found: list[Found]) -> str:
    """How much is kept, and what it costs at most a month where that is known."""
    size = sum(one.upload.size for one in found)
    amazon = [one for one in found if _is_amazon(config.destinations[one.destination])]
    paid = sum(one.upload.size for one in amazon) / GIB * PRICE
    money = f", at most {paid:.2f} USD a month at Amazon's list price" if amazon else ""
    return f"{len(found)} uploads, {fitting(size, binary=True)}{money}"


def _is_amazon(destination: Destination) -> bool:
    return destination.type == "s3" and not destination.settings.get("endpoint_url")


def _is_ours(paths: Paths, destination: Destination, key: str) -> bool:
    """Whether a key is one that the destination's layout gives to a subject of this folder."""
    if key == layout.HOW_TO_OPEN or (destination.settings.get("registry") and key.startswith(PREFIX)):
        return True
    for kind in filter(destination.takes, KINDS):
        match = layout.pattern(destination, kind).fullmatch(key) or layout.BESIDE.fullmatch(key)
        if match and paths.subject(match["code"]).is_dir():
            return True
    return False
