"""The one pair of AWS keys of a sandbox: whoever uses its S3 and Glacier services has a single credential chain."""

import json
import secrets
import threading
from pathlib import Path
from typing import Any

from ecogvault.files import replacing

FILE = "aws-keys.json"
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
