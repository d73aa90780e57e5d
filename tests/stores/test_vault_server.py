"""The local vault service: what was written for Amazon's works with it, and it refuses what Amazon's refuses."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from content import pattern, tree

from ecogvault.digests import TreeHash
from ecogvault.sandbox.glacier import rules
from ecogvault.sandbox.glacier.vaults import inventory_date, listed
from vaults import DAY, HOUR, VaultServer

MIB = 1 << 20
GOLDEN = "5a245eddef1227623912286af0a6dd6f1a3cd67ad3d768c1490c2f8a0fafeca9"


def refused(code: str, **details: Any) -> Any:
    return pytest.raises(ClientError, match=code, **details)


def begin(vaults: VaultServer, vault: str, size: int = MIB, description: str = "made up") -> str:
    return str(
        vaults.client.initiate_multipart_upload(vaultName=vault, archiveDescription=description, partSize=str(size))[
            "uploadId"
        ]
    )


def put(vaults: VaultServer, vault: str, upload: str, data: bytes, start: int, end: int | None = None) -> None:
    last = start + len(data) - 1 if end is None else end
    vaults.client.upload_multipart_part(vaultName=vault, uploadId=upload, range=f"bytes {start}-{last}/*", body=data)


def complete(vaults: VaultServer, vault: str, upload: str, data: bytes) -> str:
    return str(
        vaults.client.complete_multipart_upload(
            vaultName=vault, uploadId=upload, archiveSize=str(len(data)), checksum=tree(data)
        )["archiveId"]
    )


def job(vaults: VaultServer, vault: str, **parameters: Any) -> str:
    return str(vaults.client.initiate_job(vaultName=vault, jobParameters=parameters)["jobId"])


# --- pure -------------------------------------------------------------------------------------------------------------


def test_the_golden_tree_hash_of_the_guide_is_ours() -> None:
    digest = TreeHash()
    digest.update(b"abc" * 1234567)
    assert digest.hexdigest() == GOLDEN


@pytest.mark.parametrize("size", [1, MIB, MIB + 1, 5 * MIB, 6 * MIB + 512, 7 * MIB])
def test_a_range_is_tree_hash_aligned_exactly_when_its_root_is_a_node_of_the_whole_tree(size: int) -> None:
    leaves = [hashlib.sha256(bytes([at])).digest() for at in range(-(-size // MIB))]
    nodes = set()
    level = [(leaf, at, at + 1) for at, leaf in enumerate(leaves)]
    while True:
        nodes |= {(first, last) for _, first, last in level}
        if len(level) == 1:
            break
        paired = [
            (hashlib.sha256(a[0] + b[0]).digest(), a[1], b[2]) for a, b in zip(level[::2], level[1::2], strict=False)
        ]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    for first in range(len(leaves)):
        for last in range(first + 1, len(leaves) + 1):
            end = min(last * MIB, size) - 1
            assert rules.is_tree_hash_aligned(first * MIB, end, size) == ((first, last) in nodes), (first, last)
    assert not rules.is_tree_hash_aligned(1, size - 1, size)


def test_an_inventory_is_a_day_old_and_only_new_when_something_changed() -> None:
    archives = [{"id": "a", "created": 100.0}, {"id": "b", "created": 100.0 + 3 * DAY + 5, "deleted": 6.5 * DAY}]
    assert inventory_date([], 1e9) is None
    assert inventory_date(archives[:1], 100 + DAY - 1) is None
    assert inventory_date(archives[:1], 100 + 9 * DAY) == 100 + DAY
    assert inventory_date(archives, 100 + 4 * DAY) == 100 + 4 * DAY
    assert [one["id"] for one in listed(archives, 100 + 4 * DAY)] == ["a", "b"]
    assert [one["id"] for one in listed(archives, 100 + 7 * DAY)] == ["a"]


# --- what others wrote ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_amazons_own_command_does_amazons_multipart_tutorial(vaults: VaultServer, tmp_path: Path) -> None:
    """AWS CLI User Guide, "Using Amazon Glacier in the AWS CLI": three parts of 1 MiB, hashed with openssl by hand."""

    def aws(*words: str) -> dict[str, Any]:
        command = ["/usr/bin/aws", "--endpoint-url", vaults.details["endpoint_url"], "--region", "us-west-2"]
        run = subprocess.run(
            [*command, "--output", "json", "glacier", *words, "--account-id", "-"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"AWS_PAGER": "", "HOME": str(tmp_path)},
        )
        assert run.returncode == 0, run.stderr
        return dict(json.loads(run.stdout or "{}"))

    def sha256(data: bytes) -> bytes:
        run = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=data, capture_output=True, check=True)
        return run.stdout

    aws("create-vault", "--vault-name", "myvault")
    (tmp_path / "largefile").write_bytes(os.urandom(3 * MIB))
    subprocess.run(["split", f"--bytes={MIB}", "--verbose", "largefile", "chunk"], cwd=tmp_path, check=True)
    begun = aws(
        "initiate-multipart-upload",
        *("--archive-description", "multipart upload test", "--part-size", str(MIB), "--vault-name", "myvault"),
    )
    upload = ("--upload-id", begun["uploadId"], "--vault-name", "myvault")
    for number, name in enumerate(("chunkaa", "chunkab", "chunkac")):
        span = f"bytes {number * MIB}-{(number + 1) * MIB - 1}/*"
        aws("upload-multipart-part", *upload, "--body", name, "--range", span)
    hashes = [sha256((tmp_path / name).read_bytes()) for name in ("chunkaa", "chunkab", "chunkac")]
    whole = sha256(sha256(hashes[0] + hashes[1]) + hashes[2]).hex()
    listing = aws("list-parts", *upload)
    assert [part["SHA256TreeHash"] for part in listing["Parts"]] == [one.hex() for one in hashes]
    done = aws("complete-multipart-upload", *upload, "--checksum", whole, "--archive-size", str(3 * MIB))
    assert done["checksum"] == whole
    vaults.pass_time(DAY)
    assert aws("describe-vault", "--vault-name", "myvault")["NumberOfArchives"] == 1
    wish = json.dumps({"Type": "archive-retrieval", "ArchiveId": done["archiveId"], "Tier": "Expedited"})
    fetch = aws("initiate-job", "--vault-name", "myvault", "--job-parameters", wish)
    vaults.pass_time(HOUR)
    aws("get-job-output", "--vault-name", "myvault", "--job-id", fetch["jobId"], "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "largefile").read_bytes()


def test_boto3s_resource_api_stores_lists_and_brings_back(vaults: VaultServer, services: Any) -> None:
    glacier = boto3.resource("glacier", endpoint_url=vaults.details["endpoint_url"], region_name="us-west-2")
    account = glacier.Account("-")
    vault = account.create_vault(vaultName="by-resource")
    data = b"abc" * 1234567
    archive = vault.upload_archive(archiveDescription="golden", body=data)
    upload = vault.initiate_multipart_upload(archiveDescription="in parts", partSize=str(MIB))
    assert [one.id for one in vault.multipart_uploads.all()] == [upload.id]
    upload.upload_part(range=f"bytes 0-{MIB - 1}/*", body=data[:MIB])
    assert upload.parts()["PartSizeInBytes"] == MIB
    upload.abort()
    vaults.pass_time(DAY)
    vault.reload()
    assert (vault.number_of_archives, vault.size_in_bytes) == (1, len(data))
    inventory = vault.initiate_inventory_retrieval()
    retrieval = archive.initiate_archive_retrieval()
    assert not inventory.completed
    assert {one.id for one in vault.jobs_in_progress.all()} == {inventory.id, retrieval.id}
    vaults.pass_time(5 * HOUR)
    assert {one.id for one in vault.succeeded_jobs.all()} == {inventory.id, retrieval.id}
    (item,) = json.loads(inventory.get_output()["body"].read())["ArchiveList"]
    assert (item["ArchiveId"], item["SHA256TreeHash"], item["ArchiveDescription"]) == (archive.id, GOLDEN, "golden")
    answer = retrieval.get_output()
    assert (answer["checksum"], answer["archiveDescription"]) == (GOLDEN, "golden")
    assert answer["body"].read() == data
    assert "by-resource" in [one.name for one in account.vaults.all()]
    archive.delete()
    with refused("ResourceNotFoundException"):
        archive.initiate_archive_retrieval()


# --- uploads ----------------------------------------------------------------------------------------------------------


def test_archives_and_descriptions_that_amazon_refuses_are_refused(vaults: VaultServer) -> None:
    vault = vaults.vault()
    client = vaults.client
    for changed in (
        {"body": b""},
        {"body": b"x", "archiveDescription": "d" * 1025},
        {"body": b"x", "archiveDescription": "tab\there"},
        {"body": b"x", "checksum": "0" * 64},
        {"body": b"x", "checksum": "short"},
    ):
        with refused("InvalidParameterValueException"):
            client.upload_archive(vaultName=vault, **changed)
    with refused("ResourceNotFoundException"):
        client.upload_archive(vaultName="not-there", body=b"x")
    with refused("InvalidParameterValueException"):
        client.create_vault(vaultName="no spaces")
    assert vaults.inventory_is_absent(vault)


def test_part_sizes_and_ranges_that_amazon_refuses_are_refused(vaults: VaultServer) -> None:
    vault = vaults.vault()
    for size in ("0", "1048575", str(3 * MIB), str(8 * 1024 * MIB), "x"):
        with refused("InvalidParameterValueException"):
            vaults.client.initiate_multipart_upload(vaultName=vault, partSize=size)
    upload = begin(vaults, vault)
    data = pattern(MIB)
    for start, end, body in ((1, None, data), (0, MIB, data), (0, None, data + b"x"), (10_000 * MIB, None, data)):
        with refused("InvalidParameterValueException"):
            put(vaults, vault, upload, body, start, end)
    with refused("InvalidParameterValueException"):
        vaults.client.upload_multipart_part(
            vaultName=vault, uploadId=upload, range=f"bytes 0-{MIB - 1}/*", body=data, checksum="1" * 64
        )
    assert vaults.client.list_parts(vaultName=vault, uploadId=upload)["Parts"] == []


def test_an_upload_is_completed_only_when_parts_size_and_tree_hash_are_right_and_then_again_for_a_while(
    vaults: VaultServer,
) -> None:
    vault = vaults.vault()
    upload = begin(vaults, vault)
    data = pattern(2 * MIB + 7)
    put(vaults, vault, upload, data[2 * MIB :], 2 * MIB)
    put(vaults, vault, upload, data[:MIB], 0)
    with refused("Missing content range"):
        complete(vaults, vault, upload, data)
    put(vaults, vault, upload, pattern(MIB, 9), MIB)
    with refused("Checksum mismatch"):
        complete(vaults, vault, upload, data)
    put(vaults, vault, upload, data[MIB : 2 * MIB], MIB)
    with refused("Invalid archive size"):
        vaults.client.complete_multipart_upload(
            vaultName=vault, uploadId=upload, archiveSize=str(len(data) + 1), checksum=tree(data)
        )
    archive = complete(vaults, vault, upload, data)
    assert complete(vaults, vault, upload, data) == archive
    with refused("ResourceNotFoundException"):
        vaults.client.list_parts(vaultName=vault, uploadId=upload)
    assert vaults.client.list_multipart_uploads(vaultName=vault)["UploadsList"] == []
    vaults.pass_time(2 * HOUR)
    with refused("ResourceNotFoundException"):
        complete(vaults, vault, upload, data)
    assert [one["Size"] for one in vaults.inventory(vault)] == [len(data)]


def test_an_upload_is_forgotten_after_a_day_without_a_part(vaults: VaultServer) -> None:
    vault = vaults.vault()
    upload = begin(vaults, vault)
    vaults.pass_time(20 * HOUR)
    put(vaults, vault, upload, pattern(MIB), 0)
    vaults.pass_time(20 * HOUR)
    assert len(vaults.client.list_parts(vaultName=vault, uploadId=upload)["Parts"]) == 1
    vaults.pass_time(5 * HOUR)
    with refused("ResourceNotFoundException"):
        put(vaults, vault, upload, pattern(MIB), MIB)
    assert vaults.client.list_multipart_uploads(vaultName=vault)["UploadsList"] == []


def test_listings_come_in_pages(vaults: VaultServer) -> None:
    vault = vaults.vault()
    upload = begin(vaults, vault)
    for number in range(5):
        put(vaults, vault, upload, b"%d" % number if number == 4 else pattern(MIB, number), number * MIB)
    ids = {upload, *(begin(vaults, vault) for _ in range(3))}
    pages = vaults.client.get_paginator("list_parts").paginate(
        vaultName=vault, uploadId=upload, PaginationConfig={"PageSize": 2}
    )
    sizes = [len(one["Parts"]) for one in pages]
    assert sizes == [2, 2, 1]
    found = vaults.client.get_paginator("list_multipart_uploads").paginate(
        vaultName=vault, PaginationConfig={"PageSize": 3}
    )
    assert {one["MultipartUploadId"] for some in found for one in some["UploadsList"]} == ids
    with refused("InvalidParameterValueException"):
        vaults.client.list_parts(vaultName=vault, uploadId=upload, limit="51")


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_jobs_take_as_long_as_their_tier_and_their_output_is_gone_a_day_later(vaults: VaultServer) -> None:
    vault = vaults.vault()
    archive = vaults.client.upload_archive(vaultName=vault, body=b"content")["archiveId"]
    ids = {tier: job(vaults, vault, Type="archive-retrieval", ArchiveId=archive, Tier=tier) for tier in HOURS}
    for hours, ready in ((0, 0), (0.2, 1), (4.5, 2), (5, 3)):
        vaults.pass_time(hours * HOUR)
        done = vaults.client.list_jobs(vaultName=vault, completed="true")["JobList"]
        assert len(done) == ready
        if ready < 3:
            with refused("not currently available"):
                vaults.client.get_job_output(vaultName=vault, jobId=ids["Bulk"])
    assert vaults.client.get_job_output(vaultName=vault, jobId=ids["Bulk"])["body"].read() == b"content"
    vaults.pass_time(DAY)
    for call in (vaults.client.describe_job, vaults.client.get_job_output):
        with refused("ResourceNotFoundException"):
            call(vaultName=vault, jobId=ids["Bulk"])


HOURS = ("Expedited", "Standard", "Bulk")


def test_the_first_inventory_is_absent_and_later_ones_lag_behind(vaults: VaultServer) -> None:
    vault = vaults.vault()
    first = vaults.client.upload_archive(vaultName=vault, body=b"1", archiveDescription='with "quotes", and commas')
    assert vaults.inventory_is_absent(vault)
    vaults.pass_time(DAY)
    vaults.client.delete_archive(vaultName=vault, archiveId=first["archiveId"])
    vaults.client.upload_archive(vaultName=vault, body=b"22")
    wish = {"Type": "inventory-retrieval", "Format": "CSV"}
    text = job(vaults, vault, **wish)
    limited = job(vaults, vault, Type="inventory-retrieval", InventoryRetrievalParameters={"Limit": "1"})
    vaults.pass_time(5 * HOUR)
    rows = vaults.client.get_job_output(vaultName=vault, jobId=text)["body"].read().decode().splitlines()
    assert rows[0] == "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash"
    assert rows[1].startswith(f'{first["archiveId"]},"with ""quotes"", and commas",')
    assert len(rows) == 2
    shown = vaults.client.describe_job(vaultName=vault, jobId=limited)
    assert shown["InventoryRetrievalParameters"].get("Marker") is None
    assert [one["Size"] for one in vaults.inventory(vault)] == [2]


def test_only_aligned_ranges_come_with_a_tree_hash(vaults: VaultServer) -> None:
    vault = vaults.vault()
    data = pattern(5 * MIB + 3)
    archive = vaults.client.upload_archive(vaultName=vault, body=data)["archiveId"]
    for wrong in ("1-1048575", "0-1048577", f"0-{len(data)}", "5-4", "x"):
        with refused("InvalidParameterValueException"):
            job(vaults, vault, Type="archive-retrieval", ArchiveId=archive, RetrievalByteRange=wrong)
    whole = job(vaults, vault, Type="archive-retrieval", ArchiveId=archive)
    aligned = job(
        vaults, vault, Type="archive-retrieval", ArchiveId=archive, RetrievalByteRange=f"{2 * MIB}-{4 * MIB - 1}"
    )
    odd = job(vaults, vault, Type="archive-retrieval", ArchiveId=archive, RetrievalByteRange=f"{MIB}-{3 * MIB - 1}")
    vaults.pass_time(5 * HOUR)

    def output(one: str, span: str | None = None) -> tuple[bytes, str | None]:
        asked = {"range": f"bytes={span}"} if span else {}
        answer = vaults.client.get_job_output(vaultName=vault, jobId=one, **asked)
        assert answer["status"] == (206 if span else 200)
        return answer["body"].read(), answer.get("checksum")

    assert output(whole) == (data, tree(data))
    assert output(whole, f"0-{4 * MIB - 1}") == (data[: 4 * MIB], tree(data[: 4 * MIB]))
    assert output(whole, f"{MIB}-{3 * MIB - 1}") == (data[MIB : 3 * MIB], None)
    assert output(whole, "5-9") == (data[5:10], None)
    assert output(aligned) == (data[2 * MIB : 4 * MIB], tree(data[2 * MIB : 4 * MIB]))
    assert output(odd) == (data[MIB : 3 * MIB], None)
    assert output(odd, f"0-{MIB - 1}") == (data[MIB : 2 * MIB], None)
    with refused("InvalidParameterValueException"):
        output(aligned, f"0-{4 * MIB - 1}")
    assert vaults.client.describe_job(vaultName=vault, jobId=aligned)["SHA256TreeHash"] == tree(data[2 * MIB : 4 * MIB])
    assert vaults.client.describe_job(vaultName=vault, jobId=odd).get("SHA256TreeHash") is None


# --- who may ----------------------------------------------------------------------------------------------------------


def test_the_retrieval_policy_refuses_standard_retrievals_beyond_it(vaults: VaultServer) -> None:
    vault = vaults.vault()
    archive = vaults.client.upload_archive(vaultName=vault, body=pattern(3 * MIB))["archiveId"]
    vaults.client.set_data_retrieval_policy(Policy={"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 4 * MIB}]})
    try:
        job(vaults, vault, Type="archive-retrieval", ArchiveId=archive)
        with refused("PolicyEnforcedException"):
            job(vaults, vault, Type="archive-retrieval", ArchiveId=archive)
        job(vaults, vault, Type="archive-retrieval", ArchiveId=archive, Tier="Bulk")
        vaults.pass_time(HOUR + 1)
        job(vaults, vault, Type="archive-retrieval", ArchiveId=archive)
    finally:
        vaults.client.set_data_retrieval_policy(Policy={"Rules": [{"Strategy": "None"}]})


def test_a_locked_vault_keeps_its_archives_for_as_long_as_its_policy_says(vaults: VaultServer) -> None:
    vault = vaults.vault()
    archive = vaults.client.upload_archive(vaultName=vault, body=b"x")["archiveId"]
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "glacier:DeleteArchive",
        "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}},
    }
    policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [deny]})}
    lock = vaults.client.initiate_vault_lock(vaultName=vault, policy=policy)["lockId"]
    assert vaults.client.get_vault_lock(vaultName=vault)["State"] == "InProgress"
    vaults.client.complete_vault_lock(vaultName=vault, lockId=lock)
    with refused("AccessDeniedException"):
        vaults.client.delete_archive(vaultName=vault, archiveId=archive)
    with refused("AccessDeniedException"):
        vaults.client.abort_vault_lock(vaultName=vault)
    vaults.pass_time(366 * DAY)
    vaults.client.delete_archive(vaultName=vault, archiveId=archive)


def test_requests_must_be_signed_by_a_known_key_at_the_right_time(vaults: VaultServer) -> None:
    def client(**changed: str) -> Any:
        known = {name: vaults.details[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
        return boto3.client(
            "glacier", endpoint_url=vaults.details["endpoint_url"], region_name="us-west-2", **(known | changed)
        )

    with refused("UnrecognizedClientException"):
        client(aws_access_key_id="UNKNOWN").list_vaults()
    with refused("InvalidSignatureException"):
        client(aws_secret_access_key="wrong").list_vaults()
    vaults.order(skew=3600)
    try:
        with refused("Signature expired"):
            client().list_vaults()
    finally:
        vaults.order(skew=0)
    assert client().list_vaults()


def test_faults_are_had_on_demand_and_counted(vaults: VaultServer) -> None:
    vault = vaults.vault()
    vaults.order(reset=True)
    vaults.faults(
        {"operation": "UploadArchive", "error": "ThrottlingException", "count": 1},
        {"operation": "UploadArchive", "break": "answer", "count": 1},
    )
    with refused("ThrottlingException"):
        vaults.client.upload_archive(vaultName=vault, body=b"x")
    with pytest.raises(Exception, match="closed"):
        vaults.client.upload_archive(vaultName=vault, body=b"xy")
    assert vaults.order()["requests"] == {"UploadArchive": 2}
    assert vaults.order()["bytes_received"] == 3
    assert [one["Size"] for one in vaults.inventory(vault)] == [2]
