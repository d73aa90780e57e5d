"""A vault in the graph over simulated days: inventories come late or get lost, and restores take hours."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from lab import Lab

from ecogvault.ledger import copies
from ecogvault.manifest import Manifest, sha256_of
from vaults import DAY, HOUR, VaultServer

pytestmark = pytest.mark.slow


@pytest.fixture
def vault_lab(make: Any, vaults: VaultServer) -> Lab:
    """A lab whose only destination outside is a new vault."""
    lab: Lab = make(sessions=2)
    place = {"type": "glacier", "zone": "outside", "form": "tarball", "region": "us-west-2", "part_size_mib": 1}
    glacier = {**place, "vault": vaults.vault(), "endpoint_url": vaults.details["endpoint_url"]}
    lab.configure(destinations={"glacier": glacier})
    vaults.order(reset=True)
    return lab


def vault_of(lab: Lab) -> str:
    return str(lab.settings["destinations"]["glacier"]["vault"])


def line_of(lab: Lab, *words: str | Path) -> str:
    """What an action says of the vault; it must succeed."""
    (line,) = [one for one in lab.snakemake(*words).ours if one.startswith("glacier: ")]
    return line


def typed_again(lab: Lab, *words: str) -> str:
    """The command that such a run is told to be begun with again: its own."""
    return shlex.join(["snakemake", *map(str, lab.snakemake_command(*words)[3:])])


def ids(lab: Lab) -> dict[str, str]:
    """Every archive id in the ledgers, by unit."""
    found = {}
    for unit in lab.units():
        for copy in copies(lab.paths.ledger("glacier", unit)).values():
            found |= {str(unit): one["archive_id"] for one in copy.objects}
    return found


def test_over_days_every_archive_is_sent_once_listed_lost_from_sight_and_brought_back(
    vault_lab: Lab, vaults: VaultServer
) -> None:
    lab = vault_lab
    lab.snakemake()
    known = ids(lab)
    assert set(known) == {str(unit) for unit in lab.units()}
    sent = vaults.order()["bytes_received"]

    # The first inventory is absent, then asked for, lost, expired, and at last there.
    first = line_of(lab, "verify")
    assert "waiting for the first inventory" in first
    assert f": run `{typed_again(lab, 'verify')}` again from " in first
    vaults.pass_time(DAY)
    assert f"0 copies listed; {len(known)} not yet listed; waiting for the inventory" in line_of(lab, "verify")
    vaults.order(lose_jobs=vault_of(lab))
    assert "waiting for the inventory" in line_of(lab, "verify")
    vaults.pass_time(3 * DAY)
    assert "waiting for the inventory" in line_of(lab, "verify")
    vaults.pass_time(6 * HOUR)
    assert line_of(lab, "verify").startswith(f"glacier: {len(known)} copies listed; inventory of ")
    table = lab.paths.inventory("glacier").with_suffix(".tsv").read_text()
    assert all(archive in table for archive in known.values())

    # What is listed may be pruned here, and is not sealed or sent again.
    lab.snakemake("prune")
    assert list(lab.paths.results.glob("*/sealed/*.age")) == []
    assert lab.dry_run() == []

    # A second machine, with private/ but for what was sent and no ledgers, finds the archives instead of sending them.
    (lab.paths.private / lab.code() / "vaults.jsonl").unlink()
    for folder in (*lab.paths.results.glob("*/ledger"), *lab.paths.results.glob("*/receipts")):
        shutil.rmtree(folder)
    shutil.rmtree(lab.paths.results / "inventory")
    run = lab.snakemake(check=False)
    assert run.status != 0
    assert any(f"holds {len(known)} archives that this machine knows nothing of" in line for line in run.ours)
    vaults.pass_time(6 * HOUR)
    lab.snakemake()
    assert ids(lab) == known
    assert vaults.order()["bytes_received"] == sent
    assert len(vaults.inventory(vault_of(lab))) == len(known)

    # A restore is asked for, the job is lost, asked for again, and comes back whole.
    unit = next(one for one in lab.units() if one.kind == "vid")
    restore = ("--config", f"unit={unit}", "from=glacier", "--", "restore")
    assert f"waiting for {unit}: run `{typed_again(lab, *restore)}` again from " in line_of(lab, *restore)
    vaults.order(lose_jobs=vault_of(lab))
    assert "waiting" in line_of(lab, *restore)
    vaults.pass_time(5 * HOUR)
    said = lab.run("bash", "-c", typed_again(lab, *restore)).ours
    assert any(f"{unit} from glacier: " in line and "equal to their manifest" in line for line in said)
    for entry in Manifest.read(lab.paths.manifest(unit)):
        restored = lab.paths.restored_record("glacier", unit).parent / str(unit) / entry.path
        assert sha256_of(restored) == (entry.size, entry.sha256)


def test_a_restore_of_what_no_ledger_knows_and_of_a_vault_that_is_gone_is_explained(
    vault_lab: Lab, vaults: VaultServer
) -> None:
    lab = vault_lab
    run = lab.snakemake("--config", "unit=a0000000_1_vid", "from=glacier", "--", "restore", check=False)
    assert run.status != 0
    assert any("no ledger of glacier knows a unit" in line for line in run.ours)
    lab.settings["destinations"]["glacier"]["vault"] = "nobody-made-this"
    lab.configure()
    run = lab.snakemake(check=False)
    assert run.status != 0
    assert any("vault nobody-made-this does not exist: create it" in line for line in run.ours)
    run = lab.snakemake("verify", check=False)
    assert any("could not be asked: vault nobody-made-this does not exist" in line for line in run.ours)


def test_everything_is_rebuilt_from_the_vault_when_results_and_private_are_gone(
    vault_lab: Lab, vaults: VaultServer
) -> None:
    lab = vault_lab
    lab.settings["destinations"]["glacier"]["registry"] = True
    lab.configure()
    lab.snakemake()
    before = {unit: Manifest.read(lab.paths.manifest(unit)) for unit in lab.units()}
    people = (lab.paths.private / "subjects.tsv").read_bytes()
    known = ids(lab)
    vaults.pass_time(DAY)
    shutil.rmtree(lab.paths.results)
    shutil.rmtree(lab.paths.private)

    registry = ("registry-restore", "--from", "glacier", "-i", "escrow.key", "-C", "private")
    assert "waiting for the inventory" in lab.ecogvault(*registry).output
    vaults.pass_time(6 * HOUR)
    assert "waiting for registry/" in lab.ecogvault(*registry).output
    vaults.pass_time(6 * HOUR)
    assert "seal and SHA-256 checked" in lab.ecogvault(*registry).output
    assert (lab.paths.private / "subjects.tsv").read_bytes() == people

    assert f"{len(before)} copies entered in ledgers" in lab.ecogvault("rebuild", "--from", "glacier").output
    code = lab.code()
    found = lab.ecogvault("find", code).output
    assert all(archive in found for archive in known.values())
    restore = ("--config", f"subject={code}", "from=glacier", "tier=Bulk", "--", "restore")
    assert "waiting for" in line_of(lab, *restore)
    vaults.pass_time(12 * HOUR)
    assert lab.snakemake(*restore).output.count("restored and equal to their manifest") == len(before)
    for unit, manifest in before.items():
        folder = lab.paths.restored_record("glacier", unit).parent / str(unit)
        assert {entry.path: sha256_of(folder / entry.path) for entry in manifest} == {
            entry.path: (entry.size, entry.sha256) for entry in manifest
        }

    # No unit is sent again, though everything here is made anew; the registry is, if that changed it.
    lab.snakemake()
    assert ids(lab) == known
    described = [str(one["ArchiveDescription"]) for one in vaults.inventory(vault_of(lab))]
    assert len([text for text in described if "key=registry/" not in text]) == len(known)
