"""Reading copies back: what is compared with what, in which order, and how far a budget goes. On a folder store."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecogvault import ledger, rehash, verify
from ecogvault.config import Config
from ecogvault.digests import Crc64Nvme, TreeHash
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.rehash import GIB, Budget
from ecogvault.stores import Absent, Listed, Presence, Present, Unknown
from ecogvault.stores.errors import Archived, Denied, StoreError, WrongBytes

OLDER, NEWER = Unit("df5c5206", 1, "vid"), Unit("df5c5206", 2, "vid")
EVERYTHING = Budget(None, None)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "nas").mkdir()
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path / "nas")}
    return Config({"results": str(tmp_path / "results"), "destinations": {"nas": nas}})


def tree(data: bytes) -> str:
    digest = TreeHash()
    digest.update(data)
    return digest.hexdigest()


def archive(config: Config, unit: Unit, contents: dict[str, bytes], at: str, **digests: Any) -> None:
    """Have `contents` in the folder and in the ledger, acknowledged at a time."""
    root = Path(config.destinations["nas"].settings["path"])
    place = Paths.of(config).ledger("nas", unit)
    for key, data in contents.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
        status = (root / key).stat()
        one = {"key": key, "version_id": None, "etag": f"{len(data):x}-{status.st_mtime_ns:x}", "size": len(data)}
        one |= digests or {"sha256_tree": tree(data)}
        ledger.append(place, ledger.event("object", 1, "0" * 64, object=one), mode=0o600, group=None)
    line = ledger.event("acknowledged", 1, "0" * 64, bytes_sent=1) | {"at": at}
    ledger.append(place, line, mode=0o600, group=None)
    receipt = Paths.of(config).receipt("nas", unit)
    ledger.write_receipt(receipt, unit, "nas", state(config, unit))
    os.utime(receipt, (1_000_000_000, 1_000_000_000))


def state(config: Config, unit: Unit) -> ledger.Copy:
    return ledger.copies(Paths.of(config).ledger("nas", unit))[1]


def read(config: Config, budget: Budget = EVERYTHING) -> rehash.Reading:
    return rehash.rehash(config, config.destinations["nas"], [NEWER, OLDER], budget)


def spoil(config: Config, key: str) -> None:
    """Flip a byte so that no listing shows it."""
    path = Path(config.destinations["nas"].settings["path"]) / key
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_copy_that_reads_back_right_is_rehashed_and_its_receipt_keeps_its_time(config: Config) -> None:
    archive(config, OLDER, {"x/1.avi": b"one", "x/2.avi": b"two"}, "2026-01-01T00:00:00Z")
    found = read(config)
    assert (found.copies, found.size, found.left, found.faults) == (1, 6, 0, [])
    assert state(config, OLDER).evidence == "rehashed"
    receipt = Paths.of(config).receipt("nas", OLDER)
    assert ledger.read_receipt(receipt)["evidence"] == "rehashed"
    assert receipt.stat().st_mtime == 1_000_000_000


def test_a_flipped_byte_that_no_listing_shows_is_found_by_name_and_its_receipt_goes(config: Config) -> None:
    archive(config, OLDER, {"x/1.avi": b"one", "x/2.avi": b"two"}, "2026-01-01T00:00:00Z")
    spoil(config, "x/2.avi")
    said: list[str] = []
    verify.verify(config, say=said.append)
    assert said == ["nas: 1 copies listed"]
    with pytest.raises(verify.CopiesAreWrong, match="nas"):
        verify.verify(Config({**config.values, "rehash_gib": 1}), say=said.append)
    assert "x/2.avi is wrong" in said[-1]
    copy = state(config, OLDER)
    assert (copy.evidence, copy.fault, [one["key"] for one in copy.objects]) == (None, "wrong", ["x/1.avi"])
    assert list(copy.spoilt) == ["x/2.avi"]
    assert not Paths.of(config).receipt("nas", OLDER).exists()


@pytest.mark.parametrize(
    "digests",
    [
        lambda data: {"sha256_tree": tree(data), "crc64nvme": "not looked at"},
        lambda data: {"sha256_tree": None, "crc64nvme": crc(data)},
        lambda data: {"sha256_tree": None, "crc64nvme": None, "path": "x", "sha256": hashlib.sha256(data).hexdigest()},
    ],
    ids=["tree hash", "crc64nvme", "sha256 of the file"],
)
def test_each_recorded_digest_tells_a_flipped_byte(config: Config, digests: Callable[[bytes], dict[str, Any]]) -> None:
    archive(config, OLDER, {"x/1.avi": b"one"}, "2026-01-01T00:00:00Z", **digests(b"one"))
    assert read(config).faults == []
    spoil(config, "x/1.avi")
    assert read(config).faults == ["x/1.avi is wrong"]


def crc(data: bytes) -> str:
    digest = Crc64Nvme()
    digest.update(data)
    return digest.digest().hex()


def test_a_copy_without_any_digest_is_not_called_rehashed(config: Config) -> None:
    archive(config, OLDER, {"x/1.avi": b"one"}, "2026-01-01T00:00:00Z", sha256_tree=None, crc64nvme=None, sha256="0")
    found = read(config)
    assert (found.copies, found.unproven, found.size) == (0, 1, 0)
    assert "only a restore can tell" in found.line()
    assert state(config, OLDER).evidence == "acknowledged"


def test_the_oldest_evidence_is_read_first_and_a_large_copy_over_several_runs(config: Config) -> None:
    archive(config, NEWER, {"y/1.avi": b"12345"}, "2026-02-01T00:00:00Z")
    archive(config, OLDER, {"x/1.avi": b"12345", "x/2.avi": b"12345", "x/3.avi": b"12345"}, "2026-01-01T00:00:00Z")
    budget = Budget(10, None)
    first = read(config, budget)
    assert (first.copies, first.size, first.left) == (0, 10, 2)
    assert state(config, OLDER).read == {"x/1.avi", "x/2.avi"}
    second = read(config, budget)
    assert (second.copies, second.size, second.left) == (2, 10, 0)
    assert [state(config, unit).evidence for unit in (OLDER, NEWER)] == ["rehashed", "rehashed"]


def test_what_was_read_longest_ago_comes_first_again(config: Config) -> None:
    archive(config, OLDER, {"x/1.avi": b"12345"}, "2026-01-01T00:00:00Z")
    archive(config, NEWER, {"y/1.avi": b"12345"}, "2026-02-01T00:00:00Z")
    line = ledger.event("restored", 1, "0" * 64) | {"at": "2026-03-01T00:00:00Z"}
    ledger.append(Paths.of(config).ledger("nas", OLDER), line, mode=0o600, group=None)
    read(config, Budget(5, None))
    assert state(config, NEWER).evidence == "rehashed"
    assert state(config, OLDER).read_at == "2026-03-01T00:00:00Z"


def test_an_object_larger_than_the_budget_is_read_alone_rather_than_never(config: Config) -> None:
    archive(config, OLDER, {"x/1.avi": b"12345"}, "2026-01-01T00:00:00Z")
    archive(config, NEWER, {"y/1.avi": b"12345"}, "2026-02-01T00:00:00Z")
    assert read(config, Budget(1, None)).size == 5


def test_when_the_time_is_up_nothing_more_is_read(config: Config) -> None:
    archive(config, OLDER, {"x/1.avi": b"12345"}, "2026-01-01T00:00:00Z")
    found = read(config, Budget(None, 0.0))
    assert (found.size, found.left) == (0, 1)


class Troubled:
    """A store of which one object cannot be had."""

    def __init__(self, store: Any, key: str, error: StoreError, down: bool) -> None:
        self._store, self._key, self._error, self._down = store, key, error, down
        self.asked = 0

    def get(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        if key == self._key:
            self.asked += 1
            raise self._error
        return iter(self._store.get(key, version_id=version_id))

    def preflight(self) -> None:
        if self._down:
            raise self._error


def trouble(monkeypatch: pytest.MonkeyPatch, key: str, error: StoreError, *, down: bool = False) -> Troubled:
    real = rehash.open_store
    stores = []

    def open_store(destination: Any, kind: str) -> Any:
        stores.append(troubled)
        troubled._store = real(destination, kind)
        return troubled

    troubled = Troubled(None, key, error, down)
    monkeypatch.setattr(rehash, "open_store", open_store)
    return troubled


def test_bytes_that_the_service_itself_disowns_twice_are_wrong(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(config, OLDER, {"x/1.avi": b"one"}, "2026-01-01T00:00:00Z")
    store = trouble(monkeypatch, "x/1.avi", WrongBytes("not what the service confirms"))
    assert read(config).faults == ["x/1.avi is wrong"]
    assert store.asked == 2


def test_an_object_that_cannot_be_read_is_said_and_the_others_are_read(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(config, OLDER, {"x/1.avi": b"one", "x/2.avi": b"two"}, "2026-01-01T00:00:00Z")
    trouble(monkeypatch, "x/1.avi", Denied("not for you"))
    found = read(config)
    assert found.faults == ["x/1.avi cannot be read: not for you"]
    assert (found.size, found.copies, found.left) == (3, 0, 1)
    assert state(config, OLDER).evidence == "acknowledged"


def test_a_destination_that_is_down_says_nothing_about_its_copies(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(config, OLDER, {"x/1.avi": b"one"}, "2026-01-01T00:00:00Z")
    trouble(monkeypatch, "x/1.avi", Denied("down"), down=True)
    with pytest.raises(Denied):
        read(config)
    assert state(config, OLDER).evidence == "acknowledged"


def test_a_copy_in_an_archive_tier_is_passed_over(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(config, OLDER, {"x/1.avi": b"one"}, "2026-01-01T00:00:00Z")
    trouble(monkeypatch, "x/1.avi", Archived("cold"))
    found = read(config)
    assert (found.cold, found.faults) == (1, [])
    assert "1 in an archive tier" in found.line()


def test_a_copy_that_is_replaced_while_it_is_read_is_not_judged(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(config, OLDER, {"x/1.avi": b"one"}, "2026-01-01T00:00:00Z")
    before = rehash._fault

    def replaced(*args: Any) -> str | None:
        archive(config, OLDER, {"x/1.avi": b"other"}, "2026-01-02T00:00:00Z")
        return before(*args)

    monkeypatch.setattr(rehash, "_fault", replaced)
    assert read(config).faults == []
    assert state(config, OLDER).evidence == "acknowledged"


def test_the_closing_line_counts_copies_bytes_and_what_is_left() -> None:
    reading = rehash.Reading(copies=2, size=3 * GIB, left=1)
    assert verify.Tally(listed=5, reading=reading).line("s3", "snakemake verify") == (
        "s3: 5 copies listed; 2 rehashed, 3.00 GiB read, 1 left for the next time"
    )


def test_destinations_share_the_time_that_is_left() -> None:
    hours = Config({"destinations": {}, "verify_hours": 1})
    assert verify._budget(Config({"destinations": {}}), None, 2) is None
    budget = verify._budget(hours, 1e12, 2)
    assert budget is not None
    assert budget.until is not None
    assert budget.size is None
    assert 4e11 < budget.until < 6e11


class Telling:
    """A service that tells checksums, and lists what it is told to list."""

    where = "bucket b"

    def __init__(self, told: dict[str, Presence], listed: list[Listed] | None = None) -> None:
        self.told = told
        self.listed = listed or []

    def head(self, key: str) -> Presence:
        return self.told[key]

    def list(self, prefix: str) -> Iterator[Listed]:
        return iter(self.listed)


def present(size: int, checksum: str | None, etag: str = "e") -> Present:
    return Present(size=size, etag=etag, version_id=None, metadata={}, checksum=checksum)


def test_checksums_that_the_service_tells_are_compared_and_are_no_reading_back(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {"sha256_tree": None, "crc64nvme": crc(b"one")}
    archive(config, OLDER, {"x/1.avi": b"one", "x/2.avi": b"one"}, "2026-01-01T00:00:00Z", **digests)
    archive(config, NEWER, {"y/1.avi": b"one"}, "2026-02-01T00:00:00Z", **digests)
    told: dict[str, Presence] = {
        "x/1.avi": present(3, crc(b"one")),
        "x/2.avi": present(3, None),
        "y/1.avi": present(3, crc(b"two")),
    }
    monkeypatch.setattr(rehash, "open_store", lambda destination, kind: Telling(told))
    asked = rehash.ask(config, config.destinations["nas"], [OLDER, NEWER])
    assert (asked.agree, asked.kept_none, asked.faults) == (1, 1, ["y/1.avi is wrong"])
    assert asked.line() == "1 checksums asked for and right, 1 objects without one"
    assert state(config, OLDER).evidence == "acknowledged"
    assert (state(config, NEWER).evidence, state(config, NEWER).fault) == (None, "wrong")
    told["x/1.avi"] = Unknown("down")
    with pytest.raises(StoreError, match="does not say whether it has x/1.avi: down"):
        rehash.ask(config, config.destinations["nas"], [OLDER])
    assert rehash.ask(config, config.destinations["nas"], [OLDER], until=0.0).left == 1


def test_what_a_listing_lacks_counts_as_missing_only_if_the_store_says_so_when_asked_for_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(config, OLDER, {"x/1.avi": b"one", "x/2.avi": b"two"}, "2026-01-01T00:00:00Z")
    etags = {str(one["key"]): str(one["etag"]) for one in state(config, OLDER).objects}
    told: dict[str, Presence] = {key: present(3, None, etag) for key, etag in etags.items()}
    listed = [Listed("x/1.avi", 4, etags["x/1.avi"])]  # one with another size, one not at all
    monkeypatch.setattr(verify, "open_store", lambda destination, kind: Telling(told, listed))
    said: list[str] = []
    verify.verify(config, say=said.append)
    assert said == ["nas: 1 copies listed"]
    told["x/2.avi"] = Unknown("down")
    with pytest.raises(verify.CopiesAreWrong):
        verify.verify(config, say=said.append)
    assert "could not be asked" in said[-1]
    assert state(config, OLDER).evidence == "listed"
    told["x/2.avi"] = Absent()
    with pytest.raises(verify.CopiesAreWrong):
        verify.verify(config, say=said.append)
    assert said[-1].endswith("1 wrong: x/2.avi is missing")
