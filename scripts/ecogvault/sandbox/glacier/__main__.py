"""The server's own process: `python -m ecogvault.sandbox.glacier FOLDER`, keys and ports from FOLDER/server.json."""

import json
import signal
import sys
from pathlib import Path

from ecogvault.sandbox.glacier.state import State
from ecogvault.sandbox.glacier.web import make_server


def main() -> None:
    """Serve until SIGTERM."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "server.json").read_bytes())
    state = State(folder / "data", region=settings["region"], account=settings["account"])
    keys = {settings["aws_access_key_id"]: settings["aws_secret_access_key"]}
    server = make_server(state, settings["ports"]["http"], keys)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


main()
