"""Sending one archive to a vault beside boto3's own `upload_archive`: `make bench`.

Both run as processes of their own, in turns, against the same local service, which hashes and keeps what it gets on the
same cores and in memory. Ours checks the source by its tree hash on the way and can be resumed; boto3's sends one body.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from measuring import SIZE, Measured, measure, memory_folder, noise, python, side_by_side

from ecogvault.digests import TreeHash
from ecogvault.sandbox.servers import running

OURS = """
import sys
from pathlib import Path
from ecogvault.stores import UploadState, file_source
from ecogvault.stores.glacier import VaultStore
store = VaultStore("glacier", "bench", endpoint_url=sys.argv[1], region="us-west-2", part_size=int(sys.argv[3]) << 20)
with file_source(Path(sys.argv[2]), what="bench", sha256_tree=sys.argv[4]) as source:
    store.put("bench", source, metadata={"ecogvault-unit": "bench"}, state=UploadState.in_memory())
"""

BOTO3 = """
import sys, boto3
client = boto3.client("glacier", endpoint_url=sys.argv[1], region_name="us-west-2")
with open(sys.argv[2], "rb") as body:
    client.upload_archive(vaultName="bench", archiveDescription="bench", body=body)
"""


@dataclass(frozen=True)
class Place:
    """An archive in memory with its tree hash, and a vault service beside it."""

    folder: Path
    archive: Path
    sha256_tree: str
    details: dict[str, Any]

    def run(self, script: str, *words: object) -> Measured:
        """Send the archive once; what the vault then has is removed."""
        keys = {name.upper(): self.details[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
        kept = self.folder / "glacier" / "data" / "vaults" / "bench" / "archives"
        command = python(script, self.details["endpoint_url"], self.archive, *words)
        found = measure(command, self.folder, kept, keys)
        assert found.made >= SIZE
        shutil.rmtree(kept)
        return found


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with memory_folder() as folder:
        noise(folder / "data", SIZE, files=1)
        (archive,) = (folder / "data").iterdir()
        tree = TreeHash()
        with open(archive, "rb") as stream:
            while data := stream.read(1 << 20):
                tree.update(data)
        with running(folder, ["glacier"]) as services:
            details = services.glacier
            keys = {name: details[name] for name in ("aws_access_key_id", "aws_secret_access_key", "endpoint_url")}
            boto3.client("glacier", region_name=details["region"], **keys).create_vault(vaultName="bench")
            yield Place(folder, archive, tree.hexdigest(), details)


def test_sending_to_a_vault(place: Place) -> None:
    found = side_by_side(
        f"sending to a vault, {os.cpu_count()} cores",
        SIZE,
        {
            "ecogvault, parts of 64 MiB": lambda: place.run(OURS, 64, place.sha256_tree),
            "ecogvault, parts of 16 MiB": lambda: place.run(OURS, 16, place.sha256_tree),
            "boto3 upload_archive": lambda: place.run(BOTO3),
        },
    )
    ours, boto = found["ecogvault, parts of 64 MiB"], found["boto3 upload_archive"]
    assert ours.peak is not None
    assert ours.peak < 400
    assert boto.wall >= 1.5 * ours.wall
