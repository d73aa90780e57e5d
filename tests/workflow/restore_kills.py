"""A yard in which restores are killed; S3 and Azure are reached by relays that count what the servers give."""

import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kills import DESTINATIONS, SMALL, Yard, yard_in

from ecogvault.files import TEMPORARY_SUFFIX
from ecogvault.manifest import Manifest
from ecogvault.restore.fetch import partial_path
from relay import Relay, relaying


class RestoreYard:
    """A yard whose one unit is at all `DESTINATIONS`. `kill` lets one restore die, has it run again, and proves."""

    def __init__(self, yard: Yard, relays: Mapping[str, Relay]) -> None:
        self.yard, self.relays = yard, relays
        self.died = 0
        paths, unit = yard.lab.paths, yard.unit
        self.wanted = {
            entry.path: (paths.subject(unit.code) / entry.path).read_bytes()
            for entry in Manifest.read(paths.manifest(unit))
        }
        self.left_out = {path for path in self.wanted if path.endswith(".doc")}  # exclude: of s3 and azure
        self._whole: dict[str, dict[str, Any]] = {}

    def folder(self, destination: str) -> Path:
        """Where the unit comes back to."""
        return self.yard.lab.paths.restored / destination / str(self.yard.unit)

    def restore(self, destination: str, die: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One restore to its end or its death; `given` is what the servers gave for it."""
        before = sum(relay.given for relay in self.relays.values())
        answer = self.yard.order("restore_unit", destination, die)
        return answer | {"given": sum(relay.given for relay in self.relays.values()) - before}

    def clear(self, destination: str) -> None:
        """Make it as if nothing had ever come back from there."""
        shutil.rmtree(self.folder(destination).parent, ignore_errors=True)

    def whole(self, destination: str) -> dict[str, Any]:
        """What an undisturbed restore takes."""
        if destination not in self._whole:
            self.clear(destination)
            done = self.restore(destination)
            assert done["status"] == 0, done["output"]
            self.prove(destination)
            self._whole[destination] = done
        return self._whole[destination]

    def kill(self, destination: str, die: Mapping[str, Any], *, must_die: bool = False) -> str:
        """Let a restore die, run it again, and prove what must hold; says at what it died."""
        self.whole(destination)
        self.clear(destination)
        killed = self.restore(destination, die)
        assert killed["status"] == -9 or (killed["status"] == 0 and not must_die), killed
        there = self.there(destination)
        assert there.items() <= self.wanted.items(), "a wrong file has its final name"
        record = self.folder(destination).with_suffix(".json")
        if destination == "deep" and there:
            assert self._partial.exists() or record.exists(), "the tarball is gone, and nothing says that it was opened"
        lacking = self.lacking(destination, there)
        again = self.restore(destination)
        assert again["status"] == 0, again["output"]
        assert again["given"] <= lacking + SMALL, (killed, again, lacking)
        self.prove(destination)
        self.died += killed["status"] == -9
        return f"{killed['given']} bytes given when it died, {again['given']} to the next, which lacked {lacking}"

    def there(self, destination: str) -> dict[str, bytes]:
        """What lies under final names, by path in the manifest."""
        folder = self.folder(destination)
        files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(TEMPORARY_SUFFIX)]
        found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        return {path: data for path, data in found.items() if path not in ("MANIFEST.tsv", "HOW-TO-OPEN.txt")}

    def lacking(self, destination: str, there: Mapping[str, bytes]) -> int:
        """How many bytes are still needed: of a tarball what was not fetched, of files those that are not there."""
        if destination == "deep":
            size = self.yard.lab.paths.sealed(self.yard.unit).stat().st_size
            return size - (self._partial.stat().st_size if self._partial.exists() else 0)
        if destination == "nas":
            return 0
        return sum(len(data) + 1024 for path, data in self.wanted.items() if path not in there)

    @property
    def _partial(self) -> Path:
        """Where the tarball lies while it is fetched and opened."""
        return partial_path(self.folder("deep").parent, f"{self.yard.unit}.g1.tar.zst.age")

    def prove(self, destination: str) -> None:
        """The unit is there, whole, and nothing half-written is."""
        left_out = self.left_out if destination in ("s3", "azure") else set()
        wanted = {path: data for path, data in self.wanted.items() if path not in left_out}
        assert self.there(destination) == wanted
        folder = self.folder(destination).parent
        assert (folder / f"{self.yard.unit}.json").exists()
        assert [path.name for path in folder.rglob(".*") if path.suffix != ".lock"] == []

    def die_at_random(self, destination: str, generator: random.Random) -> dict[str, Any]:
        """A moment of a restore, or a time in it."""
        whole = self.whole(destination)
        if generator.random() < 0.5:
            return {"moment": generator.randrange(1, whole["moments"] + 1)}
        return {"seconds": generator.uniform(0, whole["seconds"])}


@contextmanager
def restore_yard_in(folder: Path) -> Iterator[RestoreYard]:
    """A yard in which everything was uploaded; S3 and Azure are reached by relays."""
    with yard_in(folder) as yard:
        for destination in DESTINATIONS:
            done = yard.upload(destination)
            assert done["status"] == 0, done["output"]
        places = yard.lab.settings["destinations"]
        azure = places["azure"]["account_url"]
        with relaying(places["s3"]["endpoint_url"]) as s3_relay, relaying(azure) as azure_relay:
            for name in ("s3", "deep"):
                places[name]["endpoint_url"] = s3_relay.endpoint_url
            places["azure"]["account_url"] = azure_relay.endpoint_url + urlsplit(azure).path
            yard.lab.configure()
            yield RestoreYard(yard, {"s3": s3_relay, "azure": azure_relay})
