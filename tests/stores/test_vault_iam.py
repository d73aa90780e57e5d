"""The policies for vaults in docs/iam, against what the code asks of Glacier: neither more nor less."""

import ast
import json
from pathlib import Path

import boto3

ROOT = Path(__file__).parents[2]
OPERATIONS = boto3.client("glacier", region_name="us-west-2").meta.method_to_api_mapping
JOBS = {"DescribeJob", "DescribeVault", "GetJobOutput", "InitiateJob", "ListJobs"}


def policy(role: str, effect: str = "Allow") -> set[str]:
    text = json.loads((ROOT / "docs/iam" / f"{role}.json").read_text())
    return {action for one in text["Statement"] if one["Effect"] == effect for action in one["Action"]}


def in_code() -> set[str]:
    """The operations of Glacier that the store's modules call; an action is called as its operation."""
    found = set()
    for path in (ROOT / "scripts/ecogvault/stores").glob("glacier*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in OPERATIONS:
                value = node.value
                if (value.id if isinstance(value, ast.Name) else getattr(value, "attr", "")) in ("client", "_client"):
                    found.add(OPERATIONS[node.attr])
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get_paginator":
                found.add(OPERATIONS[ast.literal_eval(node.args[0])])
    return found


def test_the_uploader_may_do_what_the_code_does_and_never_delete() -> None:
    assert policy("vault-uploader") == {f"glacier:{operation}" for operation in in_code()}
    assert policy("vault-uploader", "Deny") == {"glacier:DeleteArchive", "glacier:DeleteVault"}


def test_the_restorer_may_run_jobs_and_nothing_else() -> None:
    assert in_code() >= JOBS
    assert policy("vault-restorer") == {f"glacier:{operation}" for operation in JOBS}
