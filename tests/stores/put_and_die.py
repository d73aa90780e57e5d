"""A process that stores a file and is killed at an offset: `put_and_die.py KILL_AT SIZE KEY STATE SECRETS SPEC...`."""

import sys
from pathlib import Path

from ecogvault.stores import Store
from ecogvault.stores.azure import AzureStore
from ecogvault.stores.azure_client import open_container
from ecogvault.stores.folder import FolderStore
from ecogvault.stores.glacier import VaultStore
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3 import S3Store
from ecogvault.transfer import transfer_state

sys.path.insert(0, str(Path(__file__).parent))
from content import META, Recorded, killing, pattern


def main() -> None:
    kill_at, size, key, state_path, secrets_path, kind, *rest = sys.argv[1:]
    store: Store
    if kind == "s3":
        endpoint, region, bucket = rest
        store = S3Store("s3", bucket, endpoint_url=endpoint, region=region, part_size=5 * MIB, connections=1)
    elif kind == "azure":
        url, container = rest
        client = open_container(url, container, name="azure", connections=4)
        store = AzureStore("azure", client, part_size=MIB, connections=1)
    elif kind == "glacier":
        endpoint, region, vault = rest
        store = VaultStore("glacier", vault, endpoint_url=endpoint, region=region, part_size=MIB, connections=1)
    else:
        store = FolderStore("nas", Path(rest[0]), mode=0o2770)
    source = Recorded(pattern(int(size)), killing(int(kill_at)))
    with transfer_state(Path(state_path), Path(secrets_path), what="the test") as state:
        store.put(key, source, metadata=META, state=state.upload(key))


main()
