"""Sealed tarballs in a vault: sent once, described by themselves, explained when something is wrong."""

import json
from pathlib import Path

import pytest
import yaml
from vault_lab import VaultLab

from ecogvault.cli import main
from ecogvault.costs import TooDear
from ecogvault.records import read_journal
from ecogvault.send.vault import MustWait
from ecogvault.statement import read_signers, verify_statement
from ecogvault.stores import StoreError
from ecogvault.stores.errors import Denied, NoCredentials, Unreachable
from ecogvault.stores.glacier_types import VaultMissing
from ecogvault.stores.vault_description import describe, parse
from ecogvault.vault.statements import statement_in
from vaults import DAY, HOUR

MIB = 1 << 20
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"


@pytest.fixture
def lab(vault_lab: VaultLab) -> VaultLab:
    """Two units, sealed, and an empty vault."""
    return vault_lab


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
        lab.ask(tier="Expedited")
    assert lab.requests("InitiateJob") == 0
    assert main(["--config", str(lab.config_file), "plan", "--restore", lab.code]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown[:3]] == ["Expedited:", "Standard:", "Bulk:"]
    assert f"2 archives, {size} bytes" in shown[0]
    assert "prices of 20" in shown[3]
    assert main(["--config", str(lab.config_file), "plan"]) == 0
    assert "glacier: to be sent: 0 archives, 0 bytes" in capsys.readouterr().out
