"""Places to store in, seen from outside the store: a bucket on a real S3 server, an Azure container, and a folder."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from ecogvault.stores import Store
from ecogvault.stores.azure import AzureStore
from ecogvault.stores.azure_client import open_container
from ecogvault.stores.folder import FolderStore
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3 import S3Store

PART = 5 * MIB
BLOCK = MIB  # of Azure, which sets no least size


@dataclass(frozen=True)
class Server:
    """The S3 server, and a client of its own that the tests look with."""

    endpoint_url: str
    region: str
    client: Any

    def bucket(self, *, versioned: bool = True) -> str:
        """A new bucket."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        if versioned:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def store(self, bucket: str, *, endpoint_url: str | None = None, attempts: int = 3) -> S3Store:
        """The store under test, with small parts."""
        return S3Store(
            "s3",
            bucket,
            endpoint_url=endpoint_url or self.endpoint_url,
            region=self.region,
            part_size=PART,
            connections=3,
            attempts=attempts,
        )


class Place(Protocol):
    """Where a store keeps things, seen from outside the store.

    `unfinished` counts uploads that were begun and not ended; `named` says whether each has a name of its own, so that
    two of one key are two (Azure only knows the blocks that were sent under a key). `page` is how many keys a listing
    has on each of its pages at most.
    """

    part: int
    named: bool
    page: int
    spec: list[str]

    def store(self) -> Store: ...
    def content(self, key: str) -> bytes: ...
    def plant(self, key: str, data: bytes) -> None: ...
    def unfinished(self) -> int: ...


@dataclass(frozen=True)
class Bucket:
    server: Server
    name: str
    part: int = PART
    named: bool = True
    page: int = 1000

    @property
    def spec(self) -> list[str]:
        return ["s3", self.server.endpoint_url, self.server.region, self.name]

    def store(self) -> Store:
        return self.server.store(self.name)

    def content(self, key: str) -> bytes:
        return bytes(self.server.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def plant(self, key: str, data: bytes) -> None:
        self.server.client.put_object(Bucket=self.name, Key=key, Body=data)

    def unfinished(self) -> int:
        return len(self.server.client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))


@dataclass(frozen=True)
class Account:
    """The Azure server, and a client of its own that the tests look with."""

    account_url: str
    connection_string: str
    client: BlobServiceClient

    def container(self) -> str:
        """A new container."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.client.create_container(name)
        return name

    def store(self, container: str, *, account_url: str | None = None, attempts: int = 3, **rest: Any) -> AzureStore:
        """The store under test, with small blocks. Credentials come from the environment."""
        client = open_container(account_url or self.account_url, container, name="azure", connections=8)
        return AzureStore(
            "azure", client, **{"part_size": BLOCK, "connections": 3, "page_size": 100, "attempts": attempts} | rest
        )


@dataclass(frozen=True)
class Container:
    account: Account
    name: str
    part: int = BLOCK
    named: bool = False
    page: int = 100

    @property
    def spec(self) -> list[str]:
        return ["azure", self.account.account_url, self.name]

    @property
    def client(self) -> Any:
        return self.account.client.get_container_client(self.name)

    def store(self) -> Store:
        return self.account.store(self.name)

    def content(self, key: str) -> bytes:
        return bytes(self.client.download_blob(key).readall())

    def plant(self, key: str, data: bytes) -> None:
        self.client.upload_blob(key, data, overwrite=True)

    def unfinished(self) -> int:
        """Keys under which there are blocks and no blob."""
        found = [one.name for one in self.client.list_blobs(include=["uncommittedblobs"])]
        return len(set(found)) - len({one.name for one in self.client.list_blobs()})

    def uncommitted(self, key: str) -> int:
        """Blocks under a key that belong to no blob."""
        try:
            return len(self.client.get_blob_client(key).get_block_list("uncommitted")[1])
        except HttpResponseError:
            return 0


@dataclass(frozen=True)
class Folder:
    root: Path
    part: int = 4 * MIB
    named: bool = True
    page: int = 1000

    @property
    def spec(self) -> list[str]:
        return ["folder", str(self.root)]

    def store(self) -> Store:
        return FolderStore("nas", self.root, mode=0o2770)

    def content(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def plant(self, key: str, data: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)

    def unfinished(self) -> int:
        return len([path for path in self.root.rglob("*") if path.name.endswith(".part~")])
