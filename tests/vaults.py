"""A vault on the local service, seen from outside the store, for tests."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import boto3

from ecogvault.sandbox.glacier.service import order
from ecogvault.sandbox.servers import Services

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
