"""Restores that failed, or are asked for again: what they say of the copy, and what they fetch."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_lab import ArchiveLab, flip

from ecogvault import ledger
from ecogvault.age import NoMatchingIdentity, generate, write_identity_file
from ecogvault.config import Config, check
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.records import parse_record, read_record, write_record
from ecogvault.restore import again, asked, restore_unit
from ecogvault.restore.errors import StatementOfAnother
from ecogvault.restore.suspect import find_fault, judged
from ecogvault.stores.errors import NotFound
from ecogvault.stores.folder import FolderStore
from ecogvault.tarball import OtherContent
from ecogvault.verify import CopiesAreWrong, verify

PLACES = ("deep", "nas", "crypt")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    monkeypatch.chdir(tmp_path)
    return ArchiveLab(tmp_path).archived()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are read, in order."""
    keys: list[str] = []
    get = FolderStore.get

    def noted(self: FolderStore, key: str, *more: object, **named: object) -> object:
        keys.append(key)
        return get(self, key, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(FolderStore, "get", noted)
    return keys


def failing(lab: ArchiveLab, unit: Unit, name: str, kind: type[Exception], match: str) -> None:
    """What rule restore_unit does, when it fails."""
    with pytest.raises(kind, match=match), judged(lab.config, unit, name):
        lab.restore(unit, name)


# --- what came back, and is asked for again ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_what_is_here_is_not_fetched_and_what_has_gone_is_fetched_alone(
    lab: ArchiveLab, name: str, fetched: list[str]
) -> None:
    unit = lab.units[0]
    folder = lab.restore(unit, name)
    record = lab.paths.restored_record(name, unit)
    assert again.is_as_it_came(record)
    fetched.clear()
    lab.restore(unit, name)
    assert fetched == []

    gone, *stay = sorted(folder.rglob("*.avi"))
    good = gone.read_bytes()
    inodes = [path.stat().st_ino for path in stay]
    gone.unlink()
    assert not again.is_as_it_came(record)
    lab.restore(unit, name)
    assert gone.read_bytes() == good
    assert [path.stat().st_ino for path in stay] == inodes
    assert again.is_as_it_came(record)
    clips = [key for key in fetched if key.endswith((".avi", ".avi.age"))]
    assert clips == ([] if name == "deep" else [next(key for key in clips if gone.name in key)])


def into_a_link(path: Path) -> None:
    path.replace(path.parent / "x")
    path.symlink_to("x")


@pytest.mark.parametrize("harm", [flip, lambda path: path.write_bytes(b""), into_a_link])
def test_a_file_that_was_changed_is_named_before_anything_is_fetched(
    lab: ArchiveLab, fetched: list[str], harm: Callable[[Path], object]
) -> None:
    unit = lab.units[0]
    folder = lab.restore(unit, "nas")
    clip = min(folder.rglob("*.avi"))
    harm(clip)
    was = clip.read_bytes()
    fetched.clear()
    with pytest.raises(OtherContent, match=rf"{clip.name} is not as it came back, .*: move it away, then run again"):
        lab.restore(unit, "nas")
    assert fetched == []
    assert clip.read_bytes() == was


def test_a_file_that_was_merely_touched_is_the_same(lab: ArchiveLab, fetched: list[str]) -> None:
    unit = lab.units[0]
    clip = min(lab.restore(unit, "nas").rglob("*.avi"))
    record = lab.paths.restored_record("nas", unit)
    clip.touch()
    assert not again.is_as_it_came(record)
    fetched.clear()
    lab.restore(unit, "nas")
    assert (fetched, again.is_as_it_came(record)) == ([], True)


def test_a_record_of_an_earlier_version_counts_as_it_did(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    lab.restore(unit, "nas")
    record = lab.paths.restored_record("nas", unit)
    older = {name: value for name, value in read_record(record).items() if name not in ("contents", "self_sha256")}
    write_record(record, older, mode=0o600)
    assert again.is_as_it_came(record)
    record.write_text(json.dumps({}))
    assert not again.is_as_it_came(record)


# --- whose fault it was -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_a_copy_that_made_a_restore_fail_is_not_chosen_again(lab: ArchiveLab, name: str) -> None:
    unit, other = lab.units
    flip(lab.largest(unit, name))
    failing(lab, unit, name, Exception, rf"is wrong\. That is in the ledger of {name} now: .*`snakemake repair`")
    assert lab.copies(unit, name)[1].fault == "wrong"
    assert not lab.paths.receipt(name, unit).exists()
    assert lab.copies(other, name)[1].evidence == "acknowledged"
    (found,), lacking = asked.wanted(check({**lab.config.values, "unit": str(unit)}))
    assert lacking == []
    assert found.destination != name
    lab.restore(unit, found.destination)


def test_a_statement_that_is_lost_or_no_statement_is_marked_alone(lab: ArchiveLab) -> None:
    for unit, harm in zip(lab.units, (Path.unlink, lambda path: path.write_bytes(b"{}")), strict=True):
        path = next((lab.folder / "deep").rglob(f"{unit}.g1.statement.json"))
        path.chmod(0o600)
        harm(path)
        failing(lab, unit, "deep", Exception, rf"{path.name} is (missing|wrong)")
        assert [key.rpartition("/")[2] for key in lab.copies(unit, "deep")[1].lost] == [path.name]


def test_a_statement_of_another_ciphertext_is_replaced_by_the_next_upload(lab: ArchiveLab) -> None:
    """As an earlier version left it, when it sealed anew what was lost."""
    unit = lab.units[0]
    lab.paths.sealed(unit).unlink()
    path = next((lab.folder / "deep").rglob(f"{unit}.g1.statement.json"))
    before = path.read_bytes()
    lab.largest(unit, "deep").unlink()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    lab.seal(unit)
    lab.upload(unit, "deep")
    status, right = path.stat(), path.read_bytes()
    assert len(before) == len(right)
    path.chmod(0o600)
    path.write_bytes(before)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    verify(lab.config, say=lambda line: None)  # no listing shows it
    failing(lab, unit, "deep", StatementOfAnother, rf"{path.name} is wrong\. That is in the ledger")
    lab.upload(unit, "deep")
    assert parse_record(path.read_bytes(), what="") == parse_record(right, what="")
    lab.restore(unit, "deep")


def test_a_key_that_does_not_fit_is_no_fault_of_the_copy_and_nothing_is_read_for_it(
    lab: ArchiveLab, fetched: list[str]
) -> None:
    unit = lab.units[0]
    write_identity_file(lab.folder / "stranger", generate(classic=True), None)
    config = lab.as_seen_by("stranger")
    for name in ("deep", "crypt"):
        lab.paths.manifest(unit).rename(lab.folder / "manifest")
        with pytest.raises(NoMatchingIdentity), judged(config, unit, name):
            restore_unit(config, unit, name, lab.paths.restored_record(name, unit))
        (lab.folder / "manifest").rename(lab.paths.manifest(unit))
        assert lab.copies(unit, name)[1].evidence == "listed"  # it was looked at, and is well
    assert [key for key in fetched if key.endswith(".avi.age")] == []


def test_a_place_that_is_away_is_not_blamed(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    (lab.folder / "nas").rename(lab.folder / "away")
    with pytest.raises(Exception, match="does not exist"), judged(lab.config, unit, "nas"):
        lab.restore(unit, "nas")
    assert lab.copies(unit, "nas")[1].evidence == "acknowledged"


def test_a_copy_that_lies_elsewhere_by_now_is_not_judged_by_what_is_here(
    lab: ArchiveLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    lab.largest(unit, "nas").unlink()
    monkeypatch.setattr(ledger, "is_elsewhere", lambda destination, kind, copy: True)
    assert find_fault(lab.config, unit, "nas", NotFound("it is not there")) == []
    assert lab.copies(unit, "nas")[1].evidence == "acknowledged"


def test_older_content_is_not_given_for_newer_that_is_broken(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    config = check({**lab.config.values, "from": "deep"})
    (copy,) = lab.copies(unit, "deep").values()
    path = lab.paths.ledger("deep", unit)
    newer = {**copy.objects[0], "key": "x.g2"}
    for line in (
        ledger.event("object", 2, "ab" * 32, object=newer),
        ledger.event("acknowledged", 2, "ab" * 32, excluded=[], bytes_sent=1),
        ledger.event("wrong", 2, "ab" * 32, keys=["x.g2"]),
    ):
        ledger.append(path, line, mode=0o640, group=None)
    with pytest.raises(ledger.NothingThere, match=r"not complete any more: x\.g2 is wrong \(found 20.*from=any"):
        ledger.restorable(config, unit, "deep")
    (wanted,), _ = asked.wanted(check({**lab.config.values, "unit": str(unit)}))
    assert "generation 1, since no complete copy of generation 2 is left" in wanted.why
    assert ledger.restorable(lab.config, unit, "deep").generation == 1


def frozen(lab: ArchiveLab, *names: str) -> Config:
    """The configuration, as if nothing could be read at once at these places."""
    cold = {name: {**lab.config.values["destinations"][name], "storage_class": "GLACIER"} for name in names}
    return Config({**lab.config.values, "destinations": {**lab.config.values["destinations"], **cold}})


def test_what_can_be_read_at_once_is_taken_before_a_better_proven_copy_that_takes_hours(lab: ArchiveLab) -> None:
    verify(check({**lab.config.values, "from": "deep"}), say=lambda line: None)
    config = frozen(lab, "deep")
    found, lacking = asked.wanted(Config({**config.values, "subject": lab.code}))
    assert lacking == []
    assert {one.destination for one in found} == {"crypt"}
    assert all("; deep has a better one, in storage class GLACIER: hours, and a fee" in one.why for one in found)


def test_units_that_cannot_come_now_do_not_keep_the_others(lab: ArchiveLab) -> None:
    first, second = lab.units
    for name in ("nas", "crypt"):
        lab.paths.ledger(name, first).unlink()
    config = Config({**frozen(lab, "deep").values, "subject": lab.code})
    found, (lacking,) = asked.wanted(config)
    assert [one.unit for one in found] == [second]
    assert f"the best copy of {first} is in storage class GLACIER" in lacking
    assert "from=deep, which asks for it" in lacking
    for name in ("nas", "crypt"):
        lab.paths.ledger(name, second).unlink()
    with pytest.raises(ledger.NothingThere, match=rf"{first} is in storage.*{second} is in storage"):
        asked.wanted(config)


# --- what was configured otherwise when it was archived ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("nas", {"layout": {"vid": "elsewhere/{code}/{n}/{file}"}}),
        ("nas", {"encrypt": True}),
        ("crypt", {"encrypt": False}),
        ("nas", {"form": "tarball"}),
        ("deep", {"form": "files"}),
        ("deep", {"layout": {"vid": "elsewhere/{unit}.{g}.tar.zst.age"}}),
    ],
)
def test_a_copy_comes_back_as_it_was_sent_whatever_is_configured_since(
    lab: ArchiveLab, name: str, change: dict[str, object]
) -> None:
    unit = lab.units[0]
    destinations = lab.config.values["destinations"]
    config = check({**lab.config.values, "destinations": {**destinations, name: {**destinations[name], **change}}})
    record = lab.paths.restored_record(name, unit)
    restore_unit(config, unit, name, record)
    for entry in Manifest.read(lab.paths.manifest(unit)):
        assert sha256_of(record.parent / str(unit) / entry.path) == (entry.size, entry.sha256)
    verify(check({**config.values, "rehash_gib": 1}), say=lambda line: None)


def test_errors_that_are_no_copys_fault_stay_as_they_are(lab: ArchiveLab) -> None:
    with pytest.raises(NotFound) as caught, judged(lab.config, lab.units[0], "nas"):
        raise NotFound("not just now")
    assert str(caught.value) == "not just now"
