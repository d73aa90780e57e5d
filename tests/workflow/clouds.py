"""An Azure account of the local server, looked at from outside the program."""

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerClient

from leaks import Stored


class AzureAccount:
    """`details` are those of sandbox.json."""

    def __init__(self, details: Mapping[str, Any]) -> None:
        self.url = str(details["account_url"])
        self.connection_string = str(details["connection_string"])
        self.client = BlobServiceClient.from_connection_string(self.connection_string)

    def container(self, name: str) -> ContainerClient:
        """A client of a container."""
        return self.client.get_container_client(name)

    def renew(self, name: str) -> None:
        """Have an empty container of that name, whatever was in it."""
        container = self.container(name)
        if container.exists():
            container.delete_container()
        container.create_container()

    def objects(self, name: str) -> dict[str, Stored]:
        """What a container holds, by key."""
        container = self.container(name)
        found = {}
        for one in container.list_blobs(include=["metadata"]):
            data = container.download_blob(one.name).readall()
            etag = one.etag.strip('"')
            metadata = {key.replace("_", "-"): value for key, value in (one.metadata or {}).items()}
            found[one.name] = Stored(name, one.name, one.size, etag, None, metadata, data)
        return found

    def snapshots(self, name: str) -> list[str]:
        """Keys of which older content is kept."""
        return [one.name for one in self.container(name).list_blobs(include=["snapshots"]) if one.snapshot]

    def unfinished(self, name: str) -> list[str]:
        """Keys with blocks that belong to no blob."""
        container = self.container(name)
        names = {one.name for one in container.list_blobs(include=["uncommittedblobs"])}
        return sorted(key for key in names if self._uncommitted(container, key))

    @staticmethod
    def _uncommitted(container: ContainerClient, key: str) -> int:
        try:
            return len(container.get_blob_client(key).get_block_list("uncommitted")[1])
        except HttpResponseError:
            return 0
