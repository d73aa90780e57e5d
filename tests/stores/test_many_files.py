"""A session folder of many files: no needless requests, one changed file sends one file, a second run sends none."""

import time
from collections import Counter
from pathlib import Path

import pytest
from test_s3 import proxied

from ecogvault import ledger, rehash
from ecogvault.age import generate
from ecogvault.config import Config, check
from ecogvault.errors import EcogvaultError
from ecogvault.manifest import Entry, Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.private import Private
from ecogvault.send import Shipment, send_files
from ecogvault.stores import BytesSource, KeyTaken, UploadState, open_store
from ecogvault.transfer import transfer_state

UNIT = Unit("df5c5206", 1, "vid")
RECIPIENTS = [generate(classic=True).recipient(), generate(classic=True).recipient()]


class Session:
    """The files of a unit, sent as rule upload_unit sends them, through a proxy that sees every request."""

    def __init__(self, server, folder: Path, count: int) -> None:
        self.server, self.folder, self.bucket = server, folder, server.bucket()
        self.tree = folder / "results" / UNIT.code / "vid" / UNIT.session
        self.tree.mkdir(parents=True)
        (folder / "private" / UNIT.code).mkdir(parents=True, mode=0o700)
        for number in range(count):
            self.write(number, b"%d" % number * 10)

    def write(self, number: int, data: bytes) -> None:
        (self.tree / f"{UNIT.session}_{number:05d}.erd").write_bytes(data)

    @property
    def manifest(self) -> Manifest:
        root = self.folder / "results" / UNIT.code
        return Manifest.of(Entry(str(path.relative_to(root)), *sha256_of(path)) for path in self.tree.iterdir())

    @property
    def journal(self) -> Path:
        return self.folder / "results" / UNIT.code / "ledger" / "s3" / f"{UNIT}.jsonl"

    def send(self, generation: int, encrypt: bool = True) -> tuple[Counter[str], dict[str, int]]:
        """Send what is there as a generation. How many requests of each kind it took, and bytes sent by file name."""
        with proxied(self.server.endpoint_url) as proxy:
            sent = self.send_through(proxy.endpoint_url, generation, encrypt)
            return Counter(line.split()[0].decode() for line in proxy.requests), sent

    def config(self, endpoint_url: str, encrypt: bool = True) -> Config:
        s3 = {
            "type": "s3",
            "zone": "inside",
            "form": "files",
            "bucket": self.bucket,
            "encrypt": encrypt,
            "endpoint_url": endpoint_url,
            "region": self.server.region,
            "part_size_mib": 5,
        }
        names = {"results": str(self.folder / "results"), "private": str(self.folder / "private")}
        return check({**names, "signers": str(self.folder / "signers.txt"), "destinations": {"s3": s3}})

    def send_through(self, endpoint_url: str, generation: int, encrypt: bool = True) -> dict[str, int]:
        """Send what is there as a generation; bytes sent by key."""
        config = self.config(endpoint_url, encrypt)
        manifest, sent = self.manifest, {}

        def note(one: dict[str, object], count: int) -> None:
            sent[str(one["key"])] = count
            line = ledger.event("object", generation, manifest.sha256, object=one)
            ledger.append(self.journal, line, mode=0o600, group=None)

        with transfer_state(self.folder / "state.json", self.folder / "secrets.json", what="a test") as state:
            shipment = Shipment(
                config=config,
                private=Private(self.folder / "private"),
                destination=config.destinations["s3"],
                unit=UNIT,
                generation=generation,
                manifest=manifest,
                recipients=RECIPIENTS,
                known=ledger.copies(self.journal) if self.journal.exists() else {},
                store=open_store(config.destinations["s3"], UNIT.kind),
                state=state,
                note=note,
            )
            send_files(shipment)
        return sent


def files_of(sent: dict[str, int]) -> list[str]:
    return sorted(key.rpartition("/")[2] for key, count in sent.items() if ".erd" in key and count)


@pytest.mark.parametrize("encrypt", [True, False], ids=["encrypted", "plain"])
def test_each_new_file_costs_one_request_and_one_changed_file_sends_one_file(server, tmp_path, encrypt):
    session = Session(server, tmp_path, 40)
    requests, sent = session.send(1, encrypt)
    assert len(files_of(sent)) == 40
    # Beside the files: HOW-TO-OPEN.txt, the manifest and the statement, each asked for and sent; and one listing.
    assert requests["PUT"] == 43
    assert requests["HEAD"] <= 4
    assert requests["GET"] == 1
    session.write(7, b"changed")
    requests, sent = session.send(2, encrypt)
    assert files_of(sent) == [f"{UNIT.session}_00007.erd{'.age' if encrypt else ''}"]
    assert requests["PUT"] <= 3
    assert requests.total() < 12


def test_a_file_that_the_listing_lacked_and_that_came_meanwhile_is_never_overwritten(server, tmp_path):
    bucket = server.bucket()
    store = server.store(bucket)
    store.look_ahead("a/")
    server.client.put_object(Bucket=bucket, Key="a/k", Body=b"somebody else's")
    with pytest.raises(KeyTaken):
        store.put("a/k", BytesSource(b"ours"), metadata={"m": "1"}, state=UploadState.in_memory())
    assert b"".join(store.get("a/k")) == b"somebody else's"


@pytest.mark.parametrize("encrypt", [True, False], ids=["encrypted", "plain"])
def test_a_file_that_is_not_what_its_manifest_says_is_not_sent(server, tmp_path, monkeypatch, encrypt):
    session = Session(server, tmp_path, 10)
    manifest = session.manifest
    monkeypatch.setattr(Session, "manifest", manifest)
    session.write(3, b"other" * 4)
    with pytest.raises(EcogvaultError, match=f"{UNIT.session}_00003.erd"):
        session.send(1, encrypt)
    assert not [one.key for one in server.store(session.bucket).list() if "_00003" in one.key]


def test_the_checksums_that_the_service_keeps_are_those_of_the_ledger(server, tmp_path):
    session = Session(server, tmp_path, 12)
    session.send(1)
    line = ledger.event("acknowledged", 1, session.manifest.sha256, bytes_sent=1)
    ledger.append(session.journal, line, mode=0o600, group=None)
    config = session.config(server.endpoint_url)
    asked = rehash.ask(config, config.destinations["s3"], [UNIT])
    # The files, their manifest and their statement; HOW-TO-OPEN.txt is not in the ledger.
    assert (asked.agree, asked.kept_none, asked.faults) == (14, 0, [])
    key = next(str(one["key"]) for one in ledger.copies(session.journal)[1].objects)
    server.client.put_object(Bucket=session.bucket, Key=key, Body=b"other", ChecksumAlgorithm="CRC64NVME")
    assert rehash.ask(config, config.destinations["s3"], [UNIT]).faults == [f"{key} is wrong"]


@pytest.mark.slow
def test_a_second_run_over_10000_files_makes_no_request_for_any_and_takes_under_10_seconds(server, tmp_path):
    session = Session(server, tmp_path, 10_000)
    _, sent = session.send(1)
    assert len(files_of(sent)) == 10_000
    began = time.monotonic()
    requests, sent = session.send(1)
    assert time.monotonic() - began < 10
    assert files_of(sent) == []
    assert requests.total() < 5
