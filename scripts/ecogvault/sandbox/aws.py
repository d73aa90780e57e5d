"""What the sandbox's S3 and vault services have in common: one pair of keys, one region, and a client that tries once.

Whoever uses both has a single credential chain: hence a single pair.
"""

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ecogvault.files import replacing
from ecogvault.sandbox.service import Details, State

FILE = "aws-keys.json"
REGION = "us-west-2"
_making = threading.Lock()


def aws_keys(folder: Path) -> dict[str, Any]:
    """`aws_access_key_id` and `aws_secret_access_key` of the sandbox in `folder`, made at the first need (0600).

    The caller holds the sandbox's lock; several threads may ask.
    """
    with _making:
        path = folder / FILE
        if not path.exists():
            made = {
                "aws_access_key_id": "SANDBOX" + secrets.token_hex(6).upper(),
                "aws_secret_access_key": secrets.token_urlsafe(30),
            }
            with replacing(path, mode=0o600) as stream:
                stream.write(json.dumps(made, indent=1).encode() + b"\n")
        found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def first(folder: Path) -> State:
    """The first state of a service in `folder`: the sandbox's keys, and the region."""
    return aws_keys(folder.parent) | {"region": REGION}


def details(state: State, port: int) -> Details:
    """What a client needs to know of a service that listens on `port`."""
    told = {name: state[name] for name in ("region", "aws_access_key_id", "aws_secret_access_key")}
    return {"endpoint_url": f"http://127.0.0.1:{port}", **told}


@contextmanager
def client(service: Literal["s3", "glacier"], known: Mapping[str, Any]) -> Iterator[Any]:
    """A client of a service with these details, through no proxy and without a second attempt."""
    import boto3
    from botocore.config import Config

    made = boto3.client(
        service,
        endpoint_url=known["endpoint_url"],
        region_name=known["region"],
        aws_access_key_id=known["aws_access_key_id"],
        aws_secret_access_key=known["aws_secret_access_key"],
        config=Config(
            connect_timeout=2,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
        ),
    )
    try:
        yield made
    finally:
        made.close()
