"""Sealed tarballs in a vault: sent once, found in inventories that come late, explained when something is wrong."""

import json
import re
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
from ecogvault.costs import TooDear
from ecogvault.digests import tree_hash
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.rebuild import rebuild
from ecogvault.records import read_journal, read_record
from ecogvault.registry_copy.keep import keep_registry
from ecogvault.registry_copy.look import look
from ecogvault.repair import NotRepaired, repair
from ecogvault.retrieve import NotAllRestored, restore_asked
from ecogvault.retrieve.ranges import to_ask, widened
from ecogvault.sandbox.glacier import rules
from ecogvault.send.vault import MustWait
from ecogvault.statement import read_signers, verify_statement
from ecogvault.stores import StoreError
from ecogvault.stores.errors import Denied, NoCredentials, Unreachable
from ecogvault.stores.glacier_types import VaultMissing
from ecogvault.stores.vault_description import describe, parse
from ecogvault.vault import catalogue, sent
from ecogvault.vault.compare import compare
from ecogvault.vault.statements import statement_in
from vaults import DAY, HOUR, VaultServer, serving

MIB = 1 << 20
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    with serving(tmp_path_factory.mktemp("sandbox") / "glacier") as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: VaultServer) -> VaultLab:
    return VaultLab(tmp_path_factory.mktemp("lab"), server)


@pytest.fixture
def lab(made: VaultLab) -> VaultLab:
    """Two units, sealed, and an empty vault."""
    made.renew()
    return made


# --- descriptions -----------------------------------------------------------------------------------------------------


def test_a_description_says_everything_and_comes_back_whatever_is_in_it() -> None:
    metadata = {
        "ecogvault-unit": "df5c5206_3_vid",
        "ecogvault-sha256-tree": "0f" * 32,
        "ecogvault-signature": "a1" * 64,
        "ecogvault-odd": ":colon, ~ 100% and blänk =",
    }
    text = describe("a b/c%d=e", 12, metadata)
    assert text.isascii()
    assert text.isprintable()
    assert "0f0f0f" not in text
    said = parse(text)
    assert said is not None
    assert (said.key, said.size, said.metadata) == ("a b/c%d=e", 12, metadata)


@pytest.mark.parametrize(
    "text", ["", "largefile of 2014", "ecogvault 1 size=3", "ecogvault 1 key=a size=b", "ecogvault 2 key=a size=1"]
)
def test_a_description_of_others_is_not_ours(text: str) -> None:
    assert parse(text) is None


def test_a_description_that_does_not_fit_is_refused() -> None:
    with pytest.raises(StoreError, match="fewer recipients"):
        describe("key", 1, {"ecogvault-to": "0123456789abcdef," * 80})


# --- sending ----------------------------------------------------------------------------------------------------------


def test_an_archive_says_by_itself_what_it_is_and_the_ledger_has_its_id(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    (listed,) = lab.server.inventory(lab.vault)
    one = lab.object(unit)
    assert (one["archive_id"], one["sha256_tree"], one["size"]) == (
        listed["ArchiveId"],
        listed["SHA256TreeHash"],
        listed["Size"],
    )
    said = parse(listed["ArchiveDescription"])
    assert said is not None
    assert (said.key, said.size) == (one["key"], one["size"])
    statement = statement_in(said.metadata)
    assert statement is not None
    signers = read_signers(lab.config.path("signers"))
    verify_statement(statement, signers, unit=str(unit), generation=1, sha256_tree=one["sha256_tree"])


def test_what_the_ledger_has_is_not_sent_again(lab: VaultLab) -> None:
    lab.store()
    lab.server.order(reset=True)
    lab.store()
    assert lab.requests("UploadMultipartPart") == 0
    assert lab.requests("InitiateMultipartUpload") == 0


def test_the_receipt_holds_the_archive_id(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    receipt = json.loads(lab.paths.receipt("glacier", unit).read_text())
    assert [one["archive_id"] for one in receipt["objects"]] == [lab.object(unit)["archive_id"]]


def test_an_answer_that_was_lost_does_not_make_a_second_archive(lab: VaultLab) -> None:
    lab.server.faults({"operation": "CompleteMultipartUpload", "break": "answer", "count": 1})
    lab.store(lab.units[0])
    assert [one["ArchiveId"] for one in lab.server.inventory(lab.vault)] == [lab.object(lab.units[0])["archive_id"]]


def test_a_run_that_ended_before_the_ledger_knew_gets_the_same_archive_from_the_next(
    lab: VaultLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    stop_before_the_ledger(lab, monkeypatch)
    lab.server.order(reset=True)
    lab.store(unit)
    assert lab.requests("UploadMultipartPart") == 0
    assert [one["ArchiveId"] for one in lab.server.inventory(lab.vault)] == [lab.object(unit)["archive_id"]]


def stop_before_the_ledger(lab: VaultLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload whose process ends between the service's last answer and the ledger's line."""
    with monkeypatch.context() as patch:
        patch.setattr("ecogvault.send.vault.described", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lab.store(lab.units[0])


def test_when_the_service_has_forgotten_the_last_request_only_an_inventory_decides(
    lab: VaultLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    stop_before_the_ledger(lab, monkeypatch)
    lab.server.pass_time(3 * HOUR)
    lab.server.order(reset=True)
    with pytest.raises(MustWait, match="only an inventory says whether the archive arrived: waiting for"):
        lab.store(unit)
    lab.server.pass_time(DAY)
    with pytest.raises(MustWait, match="the inventory of vault"):
        lab.store(unit)
    lab.server.pass_time(6 * HOUR)
    lab.store(unit)
    assert lab.requests("UploadMultipartPart") == 0
    assert lab.requests("InitiateJob") == 1
    assert [one["ArchiveId"] for one in lab.server.inventory(lab.vault)] == [lab.object(unit)["archive_id"]]


def test_what_an_inventory_of_days_later_does_not_list_is_sent_anew(
    lab: VaultLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, other = lab.units[:2]
    stop_before_the_ledger(lab, monkeypatch)
    lab.server.pass_time(3 * HOUR)
    with pytest.raises(MustWait):
        lab.store(unit)
    (lost,) = lab.server.inventory(lab.vault)
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=lost["ArchiveId"])
    lab.server.client.upload_archive(vaultName=lab.vault, body=b"somebody else's, so that inventories go on")
    lab.server.pass_time(2 * DAY)
    with pytest.raises(MustWait):
        lab.store(unit)
    lab.server.pass_time(6 * HOUR)
    lab.store(unit)
    assert lab.object(unit)["archive_id"] != lost["ArchiveId"]
    assert other != unit


def test_an_interrupted_upload_sends_only_the_parts_that_the_vault_lacks(lab: VaultLab) -> None:
    unit = lab.units[0]
    sealed = lab.paths.sealed(unit)
    parts = -(-sealed.stat().st_size // MIB)
    assert parts > 4
    lab.server.faults({"operation": "UploadMultipartPart", "error": "AccessDeniedException", "after": 2, "count": 1})
    with pytest.raises(Denied, match="glacier:UploadMultipartPart"):
        lab.store(unit)
    (begun,) = lab.server.client.list_multipart_uploads(vaultName=lab.vault)["UploadsList"]
    there = lab.server.client.list_parts(vaultName=lab.vault, uploadId=begun["MultipartUploadId"])["Parts"]
    assert 2 <= len(there) < parts
    lab.server.order(reset=True)
    lab.store(unit)
    assert lab.requests("UploadMultipartPart") == parts - len(there)
    assert lab.requests("InitiateMultipartUpload") == 0


def test_an_upload_that_the_service_forgot_is_begun_again(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.server.faults({"operation": "UploadMultipartPart", "error": "AccessDeniedException", "count": 1})
    with pytest.raises(Denied):
        lab.store(unit)
    lab.server.pass_time(25 * HOUR)
    lab.store(unit)
    assert lab.requests("InitiateMultipartUpload") == 2
    assert len(lab.server.inventory(lab.vault)) == 1


def test_throttling_and_broken_connections_are_sat_out(lab: VaultLab) -> None:
    lab.server.faults(
        {"operation": "UploadMultipartPart", "error": "ThrottlingException", "count": 1},
        {"operation": "UploadMultipartPart", "break": "before", "count": 1},
        {"operation": "InitiateMultipartUpload", "error": "ServiceUnavailableException", "count": 1},
    )
    lab.store(lab.units[0])
    assert len(lab.server.inventory(lab.vault)) == 1


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


def inventoried(lab: VaultLab) -> str:
    """Let a day pass, and have the inventory come."""
    lab.server.pass_time(DAY)
    lab.verify()
    lab.server.pass_time(6 * HOUR)
    return lab.verify()


def test_what_came_after_the_inventory_is_not_missing(lab: VaultLab) -> None:
    lab.store(lab.units[0])
    inventoried(lab)
    lab.store(lab.units[1])
    line = lab.verify()
    assert line.startswith("glacier: 1 copies listed; inventory of ")
    assert "; 1 not yet listed" in line
    assert "FAILED" not in line
    assert "; 2 copies" not in inventoried(lab)
    assert lab.evidence(lab.units[1]) == "listed"


def test_an_archive_that_was_deleted_is_missing_by_name_and_sent_again(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store()
    inventoried(lab)
    one = lab.object(unit)
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=one["archive_id"])
    line = inventoried(lab)
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
    inventoried(lab)
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
    assert " is missing" in inventoried(lab)
    assert f"glacier: {unit} is replaced from deep" in repaired(lab)
    assert lab.object(unit)["sha256_tree"] == tree_hash(good.read_bytes())
    assert repaired(lab).startswith("glacier: 0 copies repaired, 0 bytes sent")
    assert inventoried(lab).startswith("glacier: 2 copies listed")
    (lab.folder / "away").rename(lab.folder / "daily")
    ask(lab, unit)
    lab.server.pass_time(5 * HOUR)
    assert "restored and equal to their manifest" in ask(lab, unit)[0]
    assert_restored(lab, unit)


def test_a_vault_is_not_repaired_from_what_is_wrong_itself_nor_for_too_much_money(lab: VaultLab, good: Path) -> None:
    unit = lab.units[0]
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=lab.object(unit)["archive_id"])
    inventoried(lab)
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
    inventoried(lab)
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
    assert f"1 of ours that no ledger knows: {key} (" in inventoried(lab)


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


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_missing_vault_wrong_credentials_and_a_wrong_clock_are_explained(
    lab: VaultLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lab.units[0]
    settings = dict(lab.config.values["destinations"]["glacier"])
    lab.with_settings(destinations={"glacier": settings | {"vault": "not-there"}})
    with pytest.raises(VaultMissing, match="vault not-there does not exist: create it"):
        lab.store(unit)
    lab.with_settings(destinations={"glacier": settings})
    lab.server.order(skew=3600)
    with pytest.raises(Denied, match="this machine's clock differs"):
        lab.store(unit)
    lab.server.order(skew=0)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(NoCredentials, match="secret access key does not belong"):
        lab.store(unit)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "UNKNOWN")
    with pytest.raises(NoCredentials, match="renew them"):
        lab.store(unit)
    lab.with_settings(destinations={"glacier": settings | {"endpoint_url": "http://127.0.0.1:9"}})
    with pytest.raises(Unreachable):
        lab.store(unit)


def test_a_policy_that_denies_uploads_is_said_to_do_so(lab: VaultLab) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "glacier:InitiateMultipartUpload"}
    policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [deny]})}
    lab.server.client.set_vault_access_policy(vaultName=lab.vault, policy=policy)
    with pytest.raises(Denied, match="lock or access policy forbids it, whoever asks"):
        lab.store(lab.units[0])
    journal = lab.paths.ledger("glacier", lab.units[0])
    assert [line["event"] for line in read_journal(journal)] == ["intent"]


# --- bringing back ----------------------------------------------------------------------------------------------------


def ask(lab: VaultLab, unit: Unit | None = None, **more: object) -> list[str]:
    """What a restore says; a failure is its last line."""
    lab.with_settings(**({"unit": str(unit)} if unit else {"subject": lab.code}), **{"from": "glacier"}, **more)
    said: list[str] = []
    try:
        restore_asked(lab.config, say=said.append)
    except NotAllRestored as error:
        said.append(f"FAILED {error}")
    return said


def assert_restored(lab: VaultLab, unit: Unit) -> None:
    manifest = Manifest.read(lab.paths.manifest(unit))
    folder = lab.paths.restored_record("glacier", unit).parent / str(unit)
    for entry in manifest:
        assert sha256_of(folder / entry.path) == (entry.size, entry.sha256)
    assert lab.evidence(unit) == "restored"


def test_a_restore_asks_says_when_to_come_back_and_then_restores(lab: VaultLab) -> None:
    lab.store()
    lab.server.order(reset=True)
    (line,) = ask(lab)
    assert line.startswith(f"glacier: waiting for {lab.units[0]}, {lab.units[1]}: run `snakemake --cores 1 restore")
    assert ask(lab) == [line]
    assert lab.requests("InitiateJob") == 2
    lab.server.pass_time(5 * HOUR)
    said = ask(lab)
    assert len(said) == 2
    assert all("restored and equal to their manifest" in one for one in said)
    for unit in lab.units:
        assert_restored(lab, unit)
    assert all("restored already" in one for one in ask(lab))
    assert lab.requests("InitiateJob") == 2
    assert [path.name for path in lab.paths.restored.rglob("*.partial")] == []


def test_the_tier_decides_how_long_it_takes(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    ask(lab, unit, tier="Bulk")
    lab.server.pass_time(5 * HOUR)
    assert "waiting" in ask(lab, unit)[-1]
    lab.server.pass_time(7 * HOUR)
    ask(lab, unit)
    assert_restored(lab, unit)


def test_a_job_that_expired_before_it_was_fetched_is_asked_for_again(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    ask(lab, unit)
    lab.server.pass_time(3 * DAY)
    assert "waiting" in ask(lab, unit)[-1]
    lab.server.pass_time(5 * HOUR)
    ask(lab, unit)
    assert_restored(lab, unit)


def test_a_broken_download_goes_on_where_it_was(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    ask(lab, unit)
    lab.server.pass_time(5 * HOUR)
    lab.server.faults({"operation": "GetJobOutput", "break": "body", "after": 1, "count": 2})
    ask(lab, unit)
    assert_restored(lab, unit)


def test_after_a_job_expired_in_the_middle_only_the_rest_is_asked_for(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    ask(lab, unit)
    lab.server.pass_time(5 * HOUR)
    lab.server.faults(
        {"operation": "GetJobOutput", "break": "body", "after": 1, "count": 1},
        {"operation": "GetJobOutput", "error": "AccessDeniedException", "after": 1, "count": 1},
    )
    assert "permission denied" in ask(lab, unit)[0]
    lab.server.pass_time(2 * DAY)
    ask(lab, unit)
    (job,) = [one for one in lab.server.client.list_jobs(vaultName=lab.vault)["JobList"] if not one["Completed"]]
    assert int(job["RetrievalByteRange"].partition("-")[0]) >= MIB
    lab.server.pass_time(5 * HOUR)
    ask(lab, unit)
    assert_restored(lab, unit)


@pytest.mark.parametrize("broken", [False, True], ids=["in one stretch", "in two, without a checksum"])
def test_damage_in_the_vault_is_found_before_anything_is_opened(lab: VaultLab, broken: bool) -> None:
    unit = lab.units[0]
    lab.store(unit)
    one = lab.object(unit)
    lab.server.order(damage={"vault": lab.vault, "archive": one["archive_id"], "offset": 1000})
    ask(lab, unit)
    lab.server.pass_time(5 * HOUR)
    if broken:
        lab.server.faults({"operation": "GetJobOutput", "break": "body", "after": 1, "count": 1})
    said = ask(lab, unit)
    assert ("signed statement describes" if broken else "other bytes than the vault confirms") in said[0]
    assert "run again" not in said[0]
    assert "no other destination is known to have one: keep what is here of it; files that" in said[0]
    assert said[-1].startswith("FAILED 1 of the units")
    assert not (lab.paths.restored_record("glacier", unit).parent / str(unit)).exists()


def test_a_byte_that_changed_on_its_way_is_brought_once_more(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    ask(lab, unit)
    lab.server.pass_time(5 * HOUR)
    lab.server.faults({"operation": "GetJobOutput", "break": "flip", "after": 1, "count": 1})
    ask(lab, unit)
    assert_restored(lab, unit)


def test_a_wrong_archive_id_the_policy_and_a_lack_of_capacity_are_explained(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    lab.server.faults({"operation": "InitiateJob", "error": "PolicyEnforcedException", "count": 1})
    assert "data retrieval policy does not permit" in ask(lab, unit)[0]
    lab.server.faults({"operation": "InitiateJob", "error": "InsufficientCapacityException", "count": 6})
    assert "no capacity for Expedited" in ask(lab, unit, tier="Expedited")[0]
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=lab.object(unit)["archive_id"])
    assert "it was deleted, or the archive id is wrong" in ask(lab, unit, tier="Standard")[0]


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
    ask(lab, unit)
    lab.server.pass_time(5 * HOUR)
    assert "holds no seal statement" in ask(lab, unit)[0]


# --- finding ----------------------------------------------------------------------------------------------------------


def test_find_shows_each_copy_with_its_archive_id_and_whether_it_is_listed(
    lab: VaultLab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.store()
    inventoried(lab)
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
    line = inventoried(lab)
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
    line = inventoried(lab)
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
    inventoried(lab)
    bad, said = looked()
    assert bad == []
    assert "is listed in the inventory of " in said

    (line,) = read_journal(lab.paths.vault_registry("glacier") / "archives.jsonl")
    lab.server.client.delete_archive(vaultName=lab.vault, archiveId=line["archive_id"])
    lab.server.pass_time(2 * DAY)
    inventoried(lab)
    bad, said = looked()
    assert bad == ["glacier"]
    assert f"{key} is missing: the next `snakemake` sends it again" in said
    assert not record.exists()
    assert "bytes sent" in keep_registry(lab.config, lab.private, "glacier", "0123456789ab", record)
    assert looked()[0] == []
    inventoried(lab)
    assert "is listed in the inventory of " in looked()[1]


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
    ask_file(lab, name)
    lab.server.pass_time(5 * HOUR)
    (said,) = ask_file(lab, name)
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
    assert "asked for first, the file in a second round" in ask_file(lab, name)[0]
    assert lab.requests("InitiateJob") == 2
    assert "waiting for" in ask_file(lab, name)[0]
    assert lab.requests("InitiateJob") == 2
    rounds = 0
    while "waiting" in (said := ask_file(lab, name))[0]:
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
    assert "restored already" in ask_file(lab, name)[0]


def test_a_large_file_comes_back_by_range_also_after_jobs_were_lost(lab: VaultLab) -> None:
    unit = lab.units[0]
    lab.store(unit)
    large = next(entry for entry in Manifest.read(lab.paths.manifest(unit)) if entry.path.endswith("_0003.avi"))
    name = large.path.removeprefix("vid/")
    ask_file(lab, name)
    lab.server.order(lose_jobs=lab.vault)
    ask_file(lab, name)
    while "waiting" in (said := ask_file(lab, name))[0]:
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

    said = ask_file(lab, name)
    while "waiting" in said[0]:
        lab.server.pass_time(5 * HOUR)
        said = ask_file(lab, name)
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
    while "waiting" in (said := ask_file(lab, name))[0]:
        lab.server.pass_time(5 * HOUR)
    assert re.search(r"take another one: from=nas \(acknowledged 20\S+; in the building\)", said[0])
    small = name.replace("_0003", "_0001")
    while "waiting" in (said := ask_file(lab, small))[0]:
        lab.server.pass_time(5 * HOUR)
    assert "restored and equal" in said[0]
    assert (restored / "vid" / small).exists()


def ask_file(lab: VaultLab, name: str) -> list[str]:
    """What the restore of one file says."""
    return ask(lab, file=name)


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
    ask(lab)
    lab.server.pass_time(5 * HOUR)
    ask(lab)
    for unit in lab.units:
        assert_restored(lab, unit)


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
    inventoried(lab)
    (line,) = rebuilt(lab)
    assert line.startswith("glacier: 0 copies entered in ledgers, 1 known before; 2 left alone: ")
    assert f"({twice[:12]}...) is there twice" in line
    assert f"({forged[:12]}...): the seal statement of {unit}, generation 2, is forged or damaged" in line


# --- costs before deeds -----------------------------------------------------------------------------------------------


def test_what_is_too_dear_is_not_begun_and_plan_shows_the_sums(
    lab: VaultLab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.with_settings(max_cost=0.0001, prices=str(PRICES))
    lab.config_file.write_text(yaml.safe_dump(dict(lab.config.values)))
    with pytest.raises(TooDear, match="sending what the vaults lack would cost about"):
        lab.store(lab.units[0])
    assert lab.requests("InitiateMultipartUpload") == 0
    assert main(["--config", str(lab.config_file), "plan"]) == 0
    size = sum(lab.paths.sealed(unit).stat().st_size for unit in lab.units)
    assert f"glacier: to be sent: 2 archives, {size} bytes" in capsys.readouterr().out
    lab.with_settings(max_cost=1)
    lab.store()
    lab.with_settings(max_cost=0.0001)
    with pytest.raises(TooDear, match=r"bringing back \d+ bytes \(Expedited\) would cost"):
        ask(lab, tier="Expedited")
    assert lab.requests("InitiateJob") == 0
    assert main(["--config", str(lab.config_file), "plan", "--restore", lab.code]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown[:3]] == ["Expedited:", "Standard:", "Bulk:"]
    assert f"2 archives, {size} bytes" in shown[0]
    assert "prices of 20" in shown[3]
    assert main(["--config", str(lab.config_file), "plan"]) == 0
    assert "glacier: to be sent: 0 archives, 0 bytes" in capsys.readouterr().out
