"""A vault on the local service, seen from outside the store, for tests."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ecogvault.sandbox.glacier.service import order
from ecogvault.sandbox.servers import Services, running

HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True)
class VaultServer:
    """The vault service, and a client of its own that the tests look with."""

    details: dict[str, Any]
    client: Any

    @classmethod
    def of(cls, services: Services) -> "VaultServer":
        """The vault service among servers that run, whatever credentials the environment has."""
        keys = {name: services.glacier[name] for name in ("aws_access_key_id", "aws_secret_access_key", "endpoint_url")}
        return cls(services.glacier, boto3.client("glacier", region_name=services.glacier["region"], **keys))

    def vault(self) -> str:
        """A new vault."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.client.create_vault(vaultName=name)
        return name

    def order(self, **orders: Any) -> dict[str, Any]:
        return order(self.details, **orders)

    def faults(self, *faults: dict[str, Any]) -> None:
        self.order(faults=list(faults))

    def pass_time(self, seconds: float) -> None:
        self.order(advance=seconds)

    def counts(self) -> dict[str, int]:
        """Requests by operation since the last `order(reset=True)`."""
        return dict(self.order()["requests"])

    def inventory(self, vault: str) -> list[dict[str, Any]]:
        """The archives of the vault's newest inventory, fetched by hand; takes a day of the movable clock."""
        self.pass_time(DAY)
        job = self.client.initiate_job(vaultName=vault, jobParameters={"Type": "inventory-retrieval"})["jobId"]
        self.pass_time(5 * HOUR)
        return list(json.loads(self.client.get_job_output(vaultName=vault, jobId=job)["body"].read())["ArchiveList"])

    def inventory_is_absent(self, vault: str) -> bool:
        """Whether the vault has no inventory yet."""
        try:
            self.client.initiate_job(vaultName=vault, jobParameters={"Type": "inventory-retrieval"})
        except self.client.exceptions.ResourceNotFoundException:
            return True
        return False


@contextmanager
def serving(folder: Path) -> Iterator[VaultServer]:
    """A service with its state in `folder`, and its credentials in the environment."""
    with running(folder, ["glacier"]) as services, pytest.MonkeyPatch.context() as patch:
        details = services.glacier
        patch.setenv("AWS_ACCESS_KEY_ID", details["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", details["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        named = ("endpoint_url", "region_name", "aws_access_key_id", "aws_secret_access_key")
        where = {name: details[name.removesuffix("_name")] for name in named}
        client = boto3.client("glacier", config=Config(retries={"total_max_attempts": 1}), **where)
        yield VaultServer(details, client)
