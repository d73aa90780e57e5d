"""The servers of the store tests, and every place that they run on."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from azure.storage.blob import BlobServiceClient
from botocore.config import Config
from places import Account, Bucket, Container, Folder, Place, Server

from ecogvault.sandbox.servers import Services, running
from vaults import VaultServer


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("sandbox")
    with running(folder, ["s3", "glacier"]) as services, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", services.s3["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", services.s3["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield services


def keys(details: Mapping[str, Any]) -> dict[str, str]:
    """A server's own keys. boto3 keeps those that it first found in the environment, which may be another server's."""
    return {name: str(details[name]) for name in ("aws_access_key_id", "aws_secret_access_key")}


@pytest.fixture(scope="session")
def server(services: Services) -> Server:
    endpoint, region = services.s3["endpoint_url"], services.s3["region"]
    settings = Config(s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=settings, **keys(services.s3))
    return Server(endpoint, region, client)


@pytest.fixture(scope="session")
def vaults(services: Services) -> VaultServer:
    settings = Config(retries={"total_max_attempts": 1})
    endpoint, region = services.glacier["endpoint_url"], services.glacier["region"]
    client = boto3.client(
        "glacier", endpoint_url=endpoint, region_name=region, config=settings, **keys(services.glacier)
    )
    return VaultServer(services.glacier, client)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running(tmp_path_factory.mktemp("azure"), only=["azure"]) as services, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", services.azure["connection_string"])
        with BlobServiceClient.from_connection_string(services.azure["connection_string"]) as client:
            yield Account(services.azure["account_url"], services.azure["connection_string"], client)


@pytest.fixture(params=["s3", "azure", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        server: Server = request.getfixturevalue("server")
        return Bucket(server, server.bucket())
    if request.param == "azure":
        account: Account = request.getfixturevalue("account")
        return Container(account, account.container())
    (tmp_path / "nas").mkdir()
    return Folder(tmp_path / "nas")
