"""A process that is killed while it copies parts: `copy_and_die.py KILL_AT STATE SECRETS ENDPOINT REGION ORIGIN...`."""

import sys
from pathlib import Path

from ecogvault.stores import Origin
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3 import S3Store
from ecogvault.transfer import transfer_state

sys.path.insert(0, str(Path(__file__).parent))
from content import killing
from test_s3_copy import NEW_META, Resealed, headed


def main() -> None:
    kill_at, state_path, secrets_path, endpoint, region, bucket, key, version, etag, size, offset, start = sys.argv[1:]
    origin = Origin(bucket, key, version, etag, int(size), int(offset), int(start))
    store = S3Store("s3", bucket, endpoint_url=endpoint, region=region, part_size=5 * MIB, connections=1)
    source = Resealed(headed(int(start), seed=2), origin, killing(int(kill_at)))
    with transfer_state(Path(state_path), Path(secrets_path), what="the test") as state:
        store.put("new", source, metadata=NEW_META, state=state.upload("new"))


main()
