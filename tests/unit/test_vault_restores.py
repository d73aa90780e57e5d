"""Bringing archives back from a vault, over hours: whole, or one file by its ranges."""

import re
from pathlib import Path

import pytest
from vault_lab import VaultLab

from ecogvault import ledger
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.retrieve.ranges import to_ask, widened
from ecogvault.sandbox.glacier import rules
from vaults import DAY, HOUR

MIB = 1 << 20
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"


@pytest.fixture
def lab(vault_lab: VaultLab) -> VaultLab:
    """Two units, sealed, and an empty vault."""
    return vault_lab


# --- bringing back ----------------------------------------------------------------------------------------------------


def test_a_restore_asks_says_when_to_come_back_and_then_restores(lab: VaultLab) -> None:
    lab.store()
    lab.server.order(reset=True)
    (line,) = lab.ask()
    assert line.startswith(f"glacier: waiting for {lab.units[0]}, {lab.units[1]}: run `snakemake --cores 1 restore")
    assert lab.ask() == [line]
    assert lab.requests("InitiateJob") == 2
    lab.server.pass_time(5 * HOUR)
    said = lab.ask()
    assert len(said) == 2
    assert all("restored and equal to their manifest" in one for one in said)
    for unit in lab.units:
        lab.assert_restored(unit)
    assert all("restored already" in one for one in lab.ask())
    assert lab.requests("InitiateJob") == 2
    assert [path.name for path in lab.paths.restored.rglob("*.partial")] == []


def test_the_tier_decides_how_long_it_takes(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.ask(unit, tier="Bulk")
    lab.server.pass_time(5 * HOUR)
    assert "waiting" in lab.ask(unit)[-1]
    lab.server.pass_time(7 * HOUR)
    lab.ask(unit)
    lab.assert_restored(unit)


def test_a_job_that_expired_before_it_was_fetched_is_asked_for_again(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.ask(unit)
    lab.server.pass_time(3 * DAY)
    assert "waiting" in lab.ask(unit)[-1]
    lab.server.pass_time(5 * HOUR)
    lab.ask(unit)
    lab.assert_restored(unit)


def test_a_broken_download_goes_on_where_it_was(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.ask(unit)
    lab.server.pass_time(5 * HOUR)
    lab.server.faults({"operation": "GetJobOutput", "break": "body", "after": 1, "count": 2})
    lab.ask(unit)
    lab.assert_restored(unit)


def test_after_a_job_expired_in_the_middle_only_the_rest_is_asked_for(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.ask(unit)
    lab.server.pass_time(5 * HOUR)
    lab.server.faults(
        {"operation": "GetJobOutput", "break": "body", "after": 1, "count": 1},
        {"operation": "GetJobOutput", "error": "AccessDeniedException", "after": 1, "count": 1},
    )
    assert "permission denied" in lab.ask(unit)[0]
    lab.server.pass_time(2 * DAY)
    lab.ask(unit)
    (job,) = [one for one in lab.server.client.list_jobs(vaultName=lab.vault)["JobList"] if not one["Completed"]]
    assert int(job["RetrievalByteRange"].partition("-")[0]) >= MIB
    lab.server.pass_time(5 * HOUR)
    lab.ask(unit)
    lab.assert_restored(unit)


@pytest.mark.parametrize("broken", [False, True], ids=["in one stretch", "in two, without a checksum"])
def test_damage_in_the_vault_is_found_before_anything_is_opened(lab: VaultLab, broken: bool) -> None:
    unit = lab.units[0]
    lab.store(unit)
    one = lab.object(unit)
    lab.server.order(damage={"vault": lab.vault, "archive": one["archive_id"], "offset": 1000})
    lab.ask(unit)
    lab.server.pass_time(5 * HOUR)
    if broken:
        lab.server.faults({"operation": "GetJobOutput", "break": "body", "after": 1, "count": 1})
    said = lab.ask(unit)
    assert ("signed statement describes" if broken else "other bytes than the vault confirms") in said[0]
    assert "run again" not in said[0]
    assert "no other destination is known to have one: keep what is here of it; files that" in said[0]
    assert said[-1].startswith("FAILED 1 of the units")
    assert not (lab.paths.restored_record("glacier", unit).parent / str(unit)).exists()


def test_a_byte_that_changed_on_its_way_is_brought_once_more(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.ask(unit)
    lab.server.pass_time(5 * HOUR)
    lab.server.faults({"operation": "GetJobOutput", "break": "flip", "after": 1, "count": 1})
    lab.ask(unit)
    lab.assert_restored(unit)


def test_a_wrong_archive_id_the_policy_and_a_lack_of_capacity_are_explained(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.server.faults({"operation": "InitiateJob", "error": "PolicyEnforcedException", "count": 1})
    assert "data retrieval policy does not permit" in lab.ask(unit)[0]
    lab.server.faults({"operation": "InitiateJob", "error": "InsufficientCapacityException", "count": 6})
    assert "no capacity for Expedited" in lab.ask(unit, tier="Expedited")[0]
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=lab.object(unit)["archive_id"])
    assert "it was deleted, or the archive id is wrong" in lab.ask(unit, tier="Standard")[0]


def test_an_archive_whose_description_is_not_ours_is_not_restored(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    other = lab.server.client.upload_archive(
        vaultName=lab.vault, archiveDescription="renamed by hand", body=lab.paths.sealed(unit).read_bytes()
    )
    journal = lab.paths.ledger("glacier", unit)
    one = lab.object(unit) | {"archive_id": other["archiveId"]}
    manifest = lab.copies(unit, "glacier")[1].manifest_sha256
    ledger.append(journal, ledger.event("object", 1, manifest, object=one), mode=0o600, group=None)
    ledger.append(journal, ledger.event("acknowledged", 1, manifest, bytes_sent=0), mode=0o600, group=None)
    lab.ask(unit)
    lab.server.pass_time(5 * HOUR)
    assert "holds no seal statement" in lab.ask(unit)[0]


# --- one file, by range -----------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_whole_mebibytes_and_a_node_of_the_tree_where_that_is_not_much_more() -> None:
    size = 37 * MIB + 5
    assert to_ask([(5, 6)], [], size) == [(0, MIB)]
    assert to_ask([(5, 6)], [(0, MIB)], size) == []
    assert to_ask([(MIB, 2 * MIB), (2 * MIB - 1, 3 * MIB)], [], size) == [(MIB, 3 * MIB)]
    assert to_ask([(4 * MIB, 7 * MIB + 3)], [], size) == [(4 * MIB, 8 * MIB)]
    assert to_ask([(36 * MIB + 7, size)], [], size) == [(36 * MIB, size)]
    assert to_ask([(0, 1), (8 * MIB, 9 * MIB)], [], size) == [(0, MIB), (8 * MIB, 9 * MIB)]
    assert to_ask([(0, size)], [], size) == [(0, size)]
    for first in range(0, 37, 3):
        for count in (1, 2, 5, 12):
            wanted = (first * MIB, min((first + count) * MIB, size))
            begin, stop = widened(wanted, size)
            assert begin <= wanted[0] < wanted[1] <= stop
            assert (begin, stop) == wanted or rules.is_tree_hash_aligned(begin, stop - 1, size)


def test_with_the_units_index_here_one_file_comes_back_in_one_round(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    large = next(entry for entry in Manifest.read(lab.paths.manifest(unit)) if entry.path.endswith("_0003.avi"))
    name = large.path.removeprefix("vid/")
    lab.ask(file=name)
    lab.server.pass_time(5 * HOUR)
    (said,) = lab.ask(file=name)
    assert "restored and equal" in said
    jobs = lab.server.client.list_jobs(vaultName=lab.vault)["JobList"]
    ranges = [one["RetrievalByteRange"].split("-") for one in jobs]
    assert sum(int(last) - int(first) + 1 for first, last in ranges) <= large.size + 4 * MIB


def test_one_file_comes_back_by_its_own_ranges_in_two_rounds_where_no_index_is_here(
    lab: VaultLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    lab.store(unit)
    monkeypatch.setattr("ecogvault.paths.Paths.index", lambda paths, unit: lab.folder / "no index")
    small = next(entry for entry in Manifest.read(lab.paths.manifest(unit)) if entry.path.endswith("_0001.avi"))
    name = small.path.removeprefix("vid/")
    lab.server.order(reset=True)
    assert "asked for first, the file in a second round" in lab.ask(file=name)[0]
    assert lab.requests("InitiateJob") == 2
    assert "waiting for" in lab.ask(file=name)[0]
    assert lab.requests("InitiateJob") == 2
    rounds = 0
    while "waiting" in (said := lab.ask(file=name))[0]:
        lab.server.pass_time(5 * HOUR)
        rounds += 1
    assert rounds <= 3
    assert f"{small.path} from glacier: restored and equal to the manifest" in said[0]
    restored = lab.paths.restored_record("glacier", unit).parent / str(unit) / small.path
    assert sha256_of(restored) == (small.size, small.sha256)
    fetched, whole = (int(word) for word in said[0].split() if word.isdigit())
    assert fetched < whole / 2
    assert lab.evidence(unit) == "acknowledged"
    assert [path.name for path in lab.paths.restored.rglob("*partial*")] == []
    assert "restored already" in lab.ask(file=name)[0]


def test_a_large_file_comes_back_by_range_also_after_jobs_were_lost(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    large = next(entry for entry in Manifest.read(lab.paths.manifest(unit)) if entry.path.endswith("_0003.avi"))
    name = large.path.removeprefix("vid/")
    lab.ask(file=name)
    lab.server.order(lose_jobs=lab.vault)
    lab.ask(file=name)
    while "waiting" in (said := lab.ask(file=name))[0]:
        lab.server.pass_time(5 * HOUR)
    assert "restored and equal" in said[0]
    restored = lab.paths.restored_record("glacier", unit).parent / str(unit) / large.path
    assert sha256_of(restored) == (large.size, large.sha256)


def test_damage_within_a_range_is_found_and_nothing_restored(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.server.order(damage={"vault": lab.vault, "archive": lab.object(unit)["archive_id"], "offset": 3 * MIB + 9})
    large = next(entry for entry in Manifest.read(lab.paths.manifest(unit)) if entry.path.endswith("_0003.avi"))
    name = large.path.removeprefix("vid/")

    said = lab.ask(file=name)
    while "waiting" in said[0]:
        lab.server.pass_time(5 * HOUR)
        said = lab.ask(file=name)
    assert re.search("is not what|is damaged|not authentic|confirms", said[0])
    assert "run again" not in said[0]
    assert "this copy is damaged, and no other destination is known to have one: keep what is here" in said[0]
    assert said[-1].startswith("FAILED 1 of the units")
    restored = lab.paths.restored_record("glacier", unit).parent / str(unit)
    assert not restored.exists()

    # Where there is another copy, that one is named; and a file that the damage does not touch comes back.
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(lab.folder / "nas")}
    lab.with_settings(destinations={**lab.config.values["destinations"], "nas": nas})
    lab.upload(unit, "nas")
    while "waiting" in (said := lab.ask(file=name))[0]:
        lab.server.pass_time(5 * HOUR)
    assert re.search(r"take another one: from=nas \(acknowledged 20\S+; in the building\)", said[0])
    small = name.replace("_0003", "_0001")
    while "waiting" in (said := lab.ask(file=small))[0]:
        lab.server.pass_time(5 * HOUR)
    assert "restored and equal" in said[0]
    assert (restored / "vid" / small).exists()
