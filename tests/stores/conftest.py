"""The S3 server of the store tests, and every place that they run on."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from places import Bucket, Folder, Place, Server

from ecogvault.sandbox.servers import running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sandbox")) as services, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", services.s3["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", services.s3["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        endpoint, region = services.s3["endpoint_url"], services.s3["region"]
        settings = Config(s3={"addressing_style": "path"})
        client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=settings)
        yield Server(endpoint, region, client)


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        server: Server = request.getfixturevalue("server")
        return Bucket(server, server.bucket())
    (tmp_path / "nas").mkdir()
    return Folder(tmp_path / "nas")
