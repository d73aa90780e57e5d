"""The policies for vaults in docs/iam, against what the code asks of Glacier: neither more nor less."""

import boto3
from iam import operations_in_code, policy

OPERATIONS = boto3.client("glacier", region_name="us-west-2").meta.method_to_api_mapping
JOBS = {"DescribeJob", "DescribeVault", "GetJobOutput", "InitiateJob", "ListJobs"}


def in_code() -> set[str]:
    """The operations of Glacier that the store's modules call; an action is called as its operation."""
    return operations_in_code(OPERATIONS, "glacier*.py")


def test_the_uploader_may_do_what_the_code_does_and_never_delete() -> None:
    assert policy("vault-uploader") == {f"glacier:{operation}" for operation in in_code()}
    assert policy("vault-uploader", "Deny") == {"glacier:DeleteArchive", "glacier:DeleteVault"}


def test_the_restorer_may_run_jobs_and_nothing_else() -> None:
    assert in_code() >= JOBS
    assert policy("vault-restorer") == {f"glacier:{operation}" for operation in JOBS}
