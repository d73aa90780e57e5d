"""Azure as a destination of the whole line: sealed tarballs and files go there, are proven, and come back."""

from collections.abc import Callable, Iterator

import pytest
from clouds import AzureAccount
from lab import Job, Lab, azure_destination

from ecogvault import ledger
from ecogvault.naming import Unit
from ecogvault.sandbox.servers import running

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("azure")]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureAccount]:
    with running(tmp_path_factory.mktemp("azure"), only=["azure"]) as services:
        yield AzureAccount(services.azure)


def evidence(lab: Lab, unit: Unit, destination: str) -> str | None:
    (copy,) = ledger.copies(lab.paths.ledger(destination, unit)).values()
    return copy.evidence


def test_what_goes_to_azure_is_proven_there_comes_back_and_is_sent_again_when_it_is_lost(
    make: Callable[..., Lab], account: AzureAccount
) -> None:
    lab = make()
    lab.azure = account
    files = {"form": "files", "encrypt": {"edf": False}, "kinds": ["edf"], "registry": True}
    lab.configure(
        destinations={
            "azure": azure_destination(account, "sealed", kinds=["vid"], tier="Cool"),
            "azfiles": azure_destination(account, "files", **files),
        }
    )
    first = lab.snakemake()
    vid, edf = Unit(lab.code(), 1, "vid"), Unit(lab.code(), 1, "edf")
    assert sorted(first.of("upload_unit")) == [
        Job("upload_unit", str(edf), "azfiles"),
        Job("upload_unit", str(vid), "azure"),
    ]
    assert f"{vid.code}/{vid}.g1.tar.zst.age" in account.objects("sealed")
    registry = [key for key in account.objects("files") if key.startswith("registry/")]
    assert len(registry) == 2  # and its statement
    assert lab.dry_run() == []

    said = lab.snakemake("--config", "rehash_gib=1", "ask_checksums=True", "--", "verify")
    assert any(line.startswith("azure: 1 copies listed; 2 checksums asked for and right") for line in said.ours)
    assert (evidence(lab, vid, "azure"), evidence(lab, edf, "azfiles")) == ("rehashed", "rehashed")

    for unit, name in ((vid, "azure"), (edf, "azfiles")):
        lab.snakemake("--config", f"unit={unit}", f"from={name}", "--", "restore")
        assert evidence(lab, unit, name) == "restored"

    # Archived: there, and not to be read; said in one line.
    sealed = account.container("sealed").get_blob_client(f"{vid.code}/{vid}.g1.tar.zst.age")
    sealed.set_standard_blob_tier("Archive")
    (lab.folder / "restored" / "azure" / f"{vid}.json").unlink()
    refused = lab.snakemake("--config", f"unit={vid}", "from=azure", "--", "restore", check=False)
    assert refused.status != 0
    assert "is in the Archive tier and cannot be read: `snakemake restore` with tier=Standard" in refused.output
    lab.snakemake("--config", "from=azure", "--", "verify")

    # Lost: found by verify, and sent again by the next run.
    sealed.delete_blob(delete_snapshots="include")
    lost = lab.snakemake("verify", check=False)
    assert f"{vid.code}/{vid}.g1.tar.zst.age is missing" in lost.output
    again = lab.snakemake()
    assert again.of("upload_unit") == [Job("upload_unit", str(vid), "azure")]
    assert sealed.exists()

    # Overwritten: found, and put right by the next run, which keeps what was there as a snapshot or a version.
    sealed.upload_blob(b"somebody else's", overwrite=True)
    wrong = lab.snakemake("verify", check=False)
    assert f"{vid.code}/{vid}.g1.tar.zst.age is wrong" in wrong.output
    assert lab.snakemake().of("upload_unit") == [Job("upload_unit", str(vid), "azure")]
    lab.snakemake("--config", "from=azure", "rehash_gib=1", "--", "verify")
    kept = account.container("sealed").list_blobs(sealed.blob_name, include=["snapshots"])
    assert len(b"somebody else's") in [one.size for one in kept]


def test_credentials_that_are_missing_or_wrong_are_one_line_and_no_secret_is_shown(
    make: Callable[..., Lab], account: AzureAccount
) -> None:
    lab = make()
    lab.azure = account
    lab.configure(destinations={"azure": azure_destination(account, "refused", kinds=["edf"])})
    lab.environment = {"AZURE_STORAGE_CONNECTION_STRING": None, "AZURE_STORAGE_KEY": "d3JvbmcgczNjcjN0"}
    run = lab.snakemake(check=False)
    assert run.status != 0
    assert "container refused: " in run.output
    texts = [run.output, *(path.read_text(errors="replace") for path in (lab.folder / "logs").rglob("*.log"))]
    for text in texts:
        assert "d3JvbmcgczNjcjN0" not in text
    assert account.objects("refused") == {}
    lab.environment = {}
    lab.snakemake()
    assert f"{lab.code()}/{lab.code()}_1_edf.g1.tar.zst.age" in account.objects("refused")
