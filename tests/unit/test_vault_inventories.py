"""What a vault holds by its inventories, which come late: verified, repaired, found, rebuilt; the registry, too."""

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from archive_lab import flip
from vault_lab import VaultLab

from ecogvault import ledger
from ecogvault.cli import main
from ecogvault.digests import tree_hash
from ecogvault.rebuild import rebuild
from ecogvault.records import read_journal, read_record
from ecogvault.registry_copy.keep import keep_registry
from ecogvault.registry_copy.look import look
from ecogvault.repair import NotRepaired, repair
from ecogvault.send.vault import MustWait
from ecogvault.vault import catalogue, sent
from ecogvault.vault.compare import compare
from vaults import DAY, HOUR

MIB = 1 << 20
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"


@pytest.fixture
def lab(vault_lab: VaultLab) -> VaultLab:
    """Two units, sealed, and an empty vault."""
    return vault_lab


# --- inventories ------------------------------------------------------------------------------------------------------


def test_verifying_over_days_says_what_waits_and_ends_listed(lab: VaultLab) -> None:
    lab.store()
    line = lab.verify()
    assert line.startswith("glacier: 0 copies listed; 2 not yet listed; waiting for the first inventory of vault")
    assert "run `snakemake verify` again from" in line
    lab.server.pass_time(DAY)
    line = lab.verify()
    assert "waiting for the inventory of vault" in line
    assert lab.verify() == line
    assert lab.requests("InitiateJob") == 1
    lab.server.pass_time(6 * HOUR)
    line = lab.verify()
    assert line.startswith("glacier: 2 copies listed; inventory of ")
    assert "waiting" not in line
    assert [lab.evidence(unit) for unit in lab.units] == ["listed", "listed"]
    lab.verify()
    assert lab.requests("InitiateJob") == 1
    (raw,) = lab.paths.raw_inventories("glacier").iterdir()
    assert raw.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(raw.read_bytes())["ArchiveList"]) == 2


def test_what_came_after_the_inventory_is_not_missing(lab: VaultLab) -> None:
    lab.store(lab.units[0])
    lab.inventoried()
    lab.store(lab.units[1])
    line = lab.verify()
    assert line.startswith("glacier: 1 copies listed; inventory of ")
    assert "; 1 not yet listed" in line
    assert "FAILED" not in line
    assert "; 2 copies" not in lab.inventoried()
    assert lab.evidence(lab.units[1]) == "listed"


def test_an_archive_that_was_deleted_is_missing_by_name_and_sent_again(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store()
    lab.inventoried()
    one = lab.object(unit)
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=one["archive_id"])
    line = lab.inventoried()
    assert f"1 wrong: {one['key']} is missing" in line
    assert "FAILED" in line
    assert not lab.paths.receipt("glacier", unit).exists()
    lab.store(unit)
    assert lab.object(unit)["archive_id"] != one["archive_id"]


@pytest.fixture
def good(lab: VaultLab) -> Iterator[Path]:
    """The first unit in a folder, too, sealed otherwise; no tarball of it is here, and no secret key."""
    unit = lab.units[0]
    deep = {"type": "folder", "path": str(lab.folder / "deep"), "zone": "inside", "form": "tarball"}
    lab.with_settings(destinations={**lab.config.values["destinations"], "deep": deep})
    lab.store()
    lab.inventoried()
    lab.paths.sealed(unit).unlink()
    lab.seal(unit)
    lab.upload(unit, "deep")
    lab.paths.sealed(unit).rename(lab.folder / "sealed")
    (lab.folder / "daily").rename(lab.folder / "away")
    yield next((lab.folder / "deep").rglob(f"{unit}.g1.tar.zst.age"))
    (lab.folder / "sealed").rename(lab.paths.sealed(unit))
    if not (lab.folder / "daily").exists():
        (lab.folder / "away").rename(lab.folder / "daily")
    shutil.rmtree(lab.folder / "deep")
    (lab.folder / "deep").mkdir()


def repaired(lab: VaultLab) -> str:
    said: list[str] = []
    try:
        repair(lab.config, lab.private, say=said.append)
    except NotRepaired as error:
        said.append(f"FAILED {error}")
    return "\n".join(said)


def test_an_archive_that_is_gone_is_replaced_from_another_destination_as_it_lies_there(
    lab: VaultLab, good: Path
) -> None:
    unit = lab.units[0]
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=lab.object(unit)["archive_id"])
    assert " is missing" in lab.inventoried()
    assert f"glacier: {unit} is replaced from deep" in repaired(lab)
    assert lab.object(unit)["sha256_tree"] == tree_hash(good.read_bytes())
    assert repaired(lab).startswith("glacier: 0 copies repaired, 0 bytes sent")
    assert lab.inventoried().startswith("glacier: 2 copies listed")
    (lab.folder / "away").rename(lab.folder / "daily")
    lab.ask(unit)
    lab.server.pass_time(5 * HOUR)
    assert "restored and equal to their manifest" in lab.ask(unit)[0]
    lab.assert_restored(unit)


def test_a_vault_is_not_repaired_from_what_is_wrong_itself_nor_for_too_much_money(lab: VaultLab, good: Path) -> None:
    unit = lab.units[0]
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=lab.object(unit)["archive_id"])
    lab.inventoried()
    lab.with_settings(max_cost=0.0, prices=str(PRICES))
    assert "max_cost" in repaired(lab)
    lab.with_settings(max_cost=None)
    flip(good)
    sent = lab.requests("CompleteMultipartUpload")
    assert "is not what was archived" in repaired(lab)
    assert lab.requests("CompleteMultipartUpload") == sent
    assert lab.copies(unit, "deep")[1].fault == "wrong"


def test_an_inventory_job_that_expired_or_was_lost_is_asked_for_again(lab: VaultLab) -> None:
    lab.store()
    lab.server.pass_time(DAY)
    lab.verify()
    lab.server.order(lose_jobs=lab.vault)
    assert "waiting for the inventory" in lab.verify()
    assert lab.requests("InitiateJob") == 2
    lab.server.pass_time(5 * DAY)
    assert "waiting for the inventory" in lab.verify()
    assert lab.requests("InitiateJob") == 3
    lab.server.pass_time(6 * HOUR)
    assert lab.verify().startswith("glacier: 2 copies listed")


def test_a_job_that_was_asked_for_and_not_noted_is_found_and_not_asked_for_twice(lab: VaultLab) -> None:
    lab.store()
    lab.server.pass_time(DAY)
    lab.verify()
    lab.paths.inventory_job("glacier").unlink()
    assert "waiting for the inventory" in lab.verify()
    assert lab.requests("InitiateJob") == 1


def test_a_foreign_archives_description_stays_private(lab: VaultLab) -> None:
    lab.server.client.upload_archive(vaultName=lab.vault, body=b"x", archiveDescription="Trellwick 2014 session 2")
    lab.store()
    lab.inventoried()
    for path in lab.paths.results.rglob("*"):
        assert not path.is_file() or b"Trellwick" not in path.read_bytes(), path
    table = lab.paths.inventory("glacier").with_suffix(".tsv").read_text()
    assert "(not ours)" in table
    assert lab.object(lab.units[0])["archive_id"] in table


def test_an_archive_of_ours_that_no_ledger_knows_is_named(lab: VaultLab) -> None:
    lab.store()
    for unit in lab.units[:1]:
        key = lab.object(unit)["key"]
        lab.paths.ledger("glacier", unit).unlink()
    assert f"1 of ours that no ledger knows: {key} (" in lab.inventoried()


def test_a_second_machine_sends_nothing_that_the_vault_lists(lab: VaultLab) -> None:
    lab.store()
    ids = [lab.object(unit)["archive_id"] for unit in lab.units]
    lab.server.pass_time(DAY)
    for unit in lab.units:
        lab.paths.ledger("glacier", unit).unlink()
    (lab.private.root / lab.code / "vaults.jsonl").unlink()
    lab.server.order(reset=True)
    with pytest.raises(MustWait, match="holds 2 archives that this machine knows nothing of"):
        lab.store()
    lab.server.pass_time(6 * HOUR)
    lab.store()
    assert lab.requests("InitiateMultipartUpload") == 0
    assert [lab.object(unit)["archive_id"] for unit in lab.units] == ids


def test_results_that_are_lost_before_any_inventory_have_nothing_sent_twice(lab: VaultLab) -> None:
    lab.store()
    before = {unit: dict(lab.object(unit)) for unit in lab.units}
    for pattern in ("*/ledger", "*/transfer", "*/receipts", "*/vault", "inventory"):
        for found in lab.paths.results.glob(pattern):
            shutil.rmtree(found)
    lab.server.order(reset=True)
    lab.store()
    assert lab.requests("InitiateMultipartUpload") == lab.requests("UploadArchive") == 0
    assert {unit: dict(lab.object(unit)) for unit in lab.units} == before


def test_what_was_begun_when_the_results_were_lost_waits_for_an_inventory_to_tell(
    lab: VaultLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    with monkeypatch.context() as patch:
        patch.setattr(sent, "note_stored", lambda *words: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lab.store(unit)
    archive_id = lab.object(unit)["archive_id"]
    for pattern in ("*/ledger", "*/transfer", "*/receipts"):
        for found in lab.paths.results.glob(pattern):
            shutil.rmtree(found)
    for _ in range(2):  # the next run knows no more than this one
        with pytest.raises(MustWait, match="what became of it is not known here"):
            lab.store(unit)
    lab.server.pass_time(2 * DAY)
    with pytest.raises(MustWait):
        lab.store(unit)  # asks for the inventory
    lab.server.pass_time(6 * HOUR)
    lab.server.order(reset=True)
    lab.store(unit)
    assert lab.requests("InitiateMultipartUpload") == 0
    assert lab.object(unit)["archive_id"] == archive_id


def test_an_archive_that_was_found_missing_is_sent_anew_whatever_was_noted_of_it(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    first = lab.object(unit)
    journal = lab.paths.ledger("glacier", unit)
    copy = lab.copies(unit, "glacier")[1]
    line = ledger.event("missing", 1, copy.manifest_sha256, keys=[first["key"]])
    ledger.append(journal, line, mode=0o640, group=None)
    lab.store(unit)
    assert lab.object(unit)["archive_id"] != first["archive_id"]


def test_waiting_in_the_run_is_over_when_the_inventory_is_there(lab: VaultLab) -> None:
    lab.store()
    lab.server.pass_time(DAY)
    lab.verify()
    lab.server.pass_time(6 * HOUR)
    lab.with_settings(glacier_wait_hours=24)
    assert lab.verify().startswith("glacier: 2 copies listed")


def test_sizes_and_tree_hashes_that_differ_are_wrong() -> None:
    listed = catalogue.Archive("id", 10, "aa", "2026-03-02T00:00:00Z", None)
    found = catalogue.Catalogue("vault", "2026-03-05T00:00:00Z", (listed,))
    right = {"key": "k", "archive_id": "id", "size": 10, "sha256_tree": "aa", "archived_at": "2026-03-02T00:00:00Z"}
    assert compare([right], found).listed
    for wrong in ({"size": 11}, {"sha256_tree": "bb"}):
        assert compare([right | wrong], found).wrong == ["k"]
    gone = right | {"archive_id": "other"}
    assert compare([gone], found).missing == ["k"]
    assert compare([gone | {"archived_at": "2026-03-04T12:00:00.5Z"}], found).early == ["k"]
    assert compare([right], None).early == ["k"]


# --- finding ----------------------------------------------------------------------------------------------------------


def test_find_shows_each_copy_with_its_archive_id_and_whether_it_is_listed(
    lab: VaultLab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.store()
    lab.inventoried()
    lab.config_file.write_text(yaml.safe_dump(dict(lab.config.values)))
    assert main(["--config", str(lab.config_file), "find", lab.code]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 4
    one = lab.object(lab.units[0])
    assert shown[0].startswith(f"{lab.units[0]}  g1  glacier  listed ")
    assert shown[0].endswith(f"{one['size']} bytes  {one['key']}")
    assert shown[1].startswith(f"    archive id {one['archive_id']}  (inventory of ")
    assert shown[1].endswith(": listed)")
    assert main(["--config", str(lab.config_file), "find", str(lab.units[1])]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["--config", str(lab.config_file), "find", "a0000000"]) == 1
    assert "no ledger here knows a copy of a0000000" in capsys.readouterr().err


# --- the registry's own copy ------------------------------------------------------------------------------------------


def test_the_registry_goes_to_a_vault_once_and_comes_back_from_it_alone(
    lab: VaultLab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    record = lab.paths.results / "registry" / "glacier.0123456789ab.json"
    assert "bytes sent" in keep_registry(lab.config, lab.private, "glacier", "0123456789ab", record)
    assert "nothing was sent" in keep_registry(lab.config, lab.private, "glacier", "0123456789ab", record)
    line = lab.inventoried()
    assert "no ledger knows" not in line

    # Another machine has nothing but the configuration, the keys and the vault.
    shutil.rmtree(lab.paths.results / "registry")
    shutil.rmtree(lab.paths.results / "inventory")
    lab.config_file.write_text(yaml.safe_dump({**lab.config.values, "private": str(tmp_path / "private")}))
    command = ["--config", str(lab.config_file), "registry-restore", "--from", "glacier"]
    bring = [*command, "-i", str(lab.folder / "daily"), "-C", str(tmp_path / "private")]
    assert main(bring) == 0
    said = capsys.readouterr().out
    assert "waiting for the inventory of vault" in said
    assert f": run `{shlex.join(['ecogvault', *bring])}` again from" in said
    lab.server.pass_time(6 * HOUR)
    assert main([*command, "--list"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("generation 1")
    assert main(bring) == 0
    said = capsys.readouterr().out
    assert "waiting for registry/" in said
    assert f": run `{shlex.join(['ecogvault', *bring])}` again from" in said
    assert main(bring) == 0
    assert "waiting for registry/" in capsys.readouterr().out
    lab.server.pass_time(6 * HOUR)
    assert main(bring) == 0
    assert "seal and SHA-256 checked" in capsys.readouterr().out
    assert (tmp_path / "private" / "subjects.tsv").read_bytes() == (lab.paths.private / "subjects.tsv").read_bytes()
    assert lab.requests("InitiateJob") == 2


def test_the_registrys_archive_is_no_orphan_when_nothing_is_known_here(lab: VaultLab) -> None:
    record = lab.paths.results / "registry" / "glacier.0123456789ab.json"
    keep_registry(lab.config, lab.private, "glacier", "0123456789ab", record)
    shutil.rmtree(lab.paths.results / "registry")
    line = lab.inventoried()
    assert line.startswith("glacier: 0 copies listed; inventory of ")
    assert "no ledger knows" not in line


def test_the_registrys_copy_in_a_vault_is_compared_with_the_inventory_and_sent_again_when_it_is_gone(
    lab: VaultLab,
) -> None:
    destination = {**lab.config.destinations["glacier"].settings, "registry": True}
    lab.with_settings(destinations={"glacier": destination})
    record = lab.paths.results / "registry" / "glacier.0123456789ab.json"

    def looked() -> tuple[list[str], str]:
        said: list[str] = []
        return look(lab.config, say=said.append), "\n".join(said)

    keep_registry(lab.config, lab.private, "glacier", "0123456789ab", record)
    key = read_record(record)["key"]
    bad, said = looked()
    assert bad == []
    assert said.endswith("is not yet listed")
    lab.inventoried()
    bad, said = looked()
    assert bad == []
    assert "is listed in the inventory of " in said

    (line,) = read_journal(lab.paths.vault_registry("glacier") / "archives.jsonl")
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=line["archive_id"])
    lab.server.pass_time(2 * DAY)
    lab.inventoried()
    bad, said = looked()
    assert bad == ["glacier"]
    assert f"{key} is missing: the next `snakemake` sends it again" in said
    assert not record.exists()
    assert "bytes sent" in keep_registry(lab.config, lab.private, "glacier", "0123456789ab", record)
    assert looked()[0] == []
    lab.inventoried()
    assert "is listed in the inventory of " in looked()[1]


# --- rebuilding -------------------------------------------------------------------------------------------------------


def rebuilt(lab: VaultLab) -> list[str]:
    """What a rebuild says; what waits is its last line."""
    said: list[str] = []
    waiting = rebuild(lab.config, "glacier", say=said.append)
    return [*said, *([waiting.what] if waiting else [])]


def test_a_rebuild_that_waits_says_the_exact_command_to_type_again(
    lab: VaultLab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.store()
    lab.config_file.write_text(yaml.safe_dump(dict(lab.config.values)))
    words = ["--config", str(lab.config_file), "rebuild", "--from", "glacier"]
    assert main(words) == 0
    assert f": run `{shlex.join(['ecogvault', *words])}` again from" in capsys.readouterr().out


def test_ledgers_are_rebuilt_from_the_vault_alone_and_units_come_back(lab: VaultLab) -> None:
    lab.store()
    ids = [lab.object(unit)["archive_id"] for unit in lab.units]
    lab.server.pass_time(DAY)
    for pattern in ("*/ledger", "*/receipts", "inventory"):
        for found in lab.paths.results.glob(pattern):
            shutil.rmtree(found)
    assert "the inventory of vault" in rebuilt(lab)[0]
    lab.server.pass_time(6 * HOUR)
    assert rebuilt(lab) == ["glacier: 2 copies entered in ledgers, 0 known before"]
    assert [lab.object(unit)["archive_id"] for unit in lab.units] == ids
    assert rebuilt(lab) == ["glacier: 0 copies entered in ledgers, 2 known before"]
    lab.ask()
    lab.server.pass_time(5 * HOUR)
    lab.ask()
    for unit in lab.units:
        lab.assert_restored(unit)


def test_a_second_archive_and_a_forged_description_are_left_alone_by_name(lab: VaultLab) -> None:
    unit = lab.units[1]
    lab.store(unit)
    (listed,) = lab.server.inventory(lab.vault)
    data = lab.paths.sealed(unit).read_bytes()
    twice, forged = (
        lab.server.client.upload_archive(vaultName=lab.vault, archiveDescription=text, body=body)["archiveId"]
        for text, body in (
            (listed["ArchiveDescription"], data),
            (listed["ArchiveDescription"].replace("generation=1", "generation=2"), data + b"x"),
        )
    )
    lab.inventoried()
    (line,) = rebuilt(lab)
    assert line.startswith("glacier: 0 copies entered in ledgers, 1 known before; 2 left alone: ")
    assert f"({twice[:12]}...) is there twice" in line
    assert f"({forged[:12]}...): the seal statement of {unit}, generation 2, is forged or damaged" in line
