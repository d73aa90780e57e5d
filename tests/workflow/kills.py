"""A yard in which uploads are killed: one unit of 30 MB, ready to be sent to S3 (twice), Azure and a folder.

`Yard.kill` lets one upload die, has it run again, and proves what must hold after any death; see `station` for how.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from clouds import AzureAccount
from lab import Lab, azure_destination, make_lab

from ecogvault import ledger
from ecogvault.age import decrypt_stream, read_identities
from ecogvault.digests import TreeHash
from ecogvault.files import TEMPORARY_SUFFIX
from ecogvault.naming import Unit
from ecogvault.records import read_journal
from ecogvault.sandbox.export import HARD_NAME
from ecogvault.sandbox.servers import running
from leaks import Stored

MIB = 1024 * 1024
PART = 5 * MIB
CONNECTIONS = 2
DESTINATIONS = ("s3", "deep", "azure", "nas")
AZURE = "kills-azure"
STATION = Path(__file__).with_name("station.py")
BIG = {"_0001.avi": 6 * MIB + 345, "_0002.avi": 17 * MIB}
SMALL = 256 * 1024  # more than requests and small files that are under way come to
# In a folder, a file of up to 16 MiB is copied again from its beginning, a larger one from its last piece of 4 MiB.
AGAIN = dict.fromkeys(("s3", "deep", "azure"), CONNECTIONS * PART) | {"nas": 6 * MIB + 345 + 4 * MIB}
# The moments that must be among them: the answer to a request has come, and nothing of it is written down yet.
CERTAIN = {
    "s3": {
        "all parts are one object now": r"^POST \S+\?uploadId=",
        "a small file is there": r"^PUT [^?]*\.avi\.age$|^PUT [^?]*\.erd\.age$",
        "the statement, the last of all, is there": r"^PUT [^?]*statement\.json$",
        "an upload of parts was begun": r"^POST \S+\?uploads",
    },
    "deep": {
        "all parts are one object now": r"^POST \S+\?uploadId=",
        "the statement, the last of all, is there": r"^PUT [^?]*statement\.json$",
        "an upload of parts was begun": r"^POST \S+\?uploads",
    },
    "azure": {
        "all blocks are one blob now": r"^PUT \S+comp=blocklist",
        "a small file is there": r"^PUT [^?]*\.avi\.age$|^PUT [^?]*\.erd\.age$",
        "the statement, the last of all, is there": r"^PUT [^?]*statement\.json$",
        "a block is there": r"^PUT \S+comp=block&",
    },
    "nas": {},
}
# And this one: every part is there, and the request that makes them one is about to be sent.
PARTS_THERE = {
    "s3": r"^POST \S+_0002\.avi\.age\?uploadId=",
    "deep": r"^POST \S+\?uploadId=",
    "azure": r"^PUT \S+_0002\.avi\.age\S+comp=blocklist",
}


@dataclass(frozen=True)
class Whole:
    """An undisturbed upload: plain content (SHA-256) by key, and what it took."""

    contents: Mapping[str, str]
    moments: int
    sent: int
    seconds: float


@dataclass
class Yard:
    """A lab whose unit is de-identified, scanned and sealed, and a station that uploads it."""

    lab: Lab
    unit: Unit
    station: "subprocess.Popen[str]"
    died: int = 0
    _whole: dict[str, Whole] = field(default_factory=dict)
    _ciphertext: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> AzureAccount:
        """The Azure account."""
        assert self.lab.azure
        return self.lab.azure

    # --- uploads ------------------------------------------------------------------------------------------------------

    def upload(self, destination: str, die: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One upload to its end or its death; see station."""
        return self.order("upload_unit", destination, die)

    def order(self, rule: str, destination: str, die: Mapping[str, Any] | None) -> dict[str, Any]:
        """One job of `rule`, to its end or its death; see station."""
        what = {"folder": str(self.lab.folder), "rule": rule, "unit": str(self.unit), "destination": destination}
        order = {**what, "die": die}
        assert self.station.stdin
        assert self.station.stdout
        self.station.stdin.write(json.dumps(order) + "\n")
        self.station.stdin.flush()
        answer: dict[str, Any] = json.loads(self.station.stdout.readline())
        return answer

    def whole(self, destination: str) -> Whole:
        """What an undisturbed upload leaves and takes."""
        if destination not in self._whole:
            self.clear(destination)
            done = self.upload(destination)
            assert done["status"] == 0, done["output"]
            there = self.look(destination)
            self.prove(destination, there)
            self._whole[destination] = Whole(self.contents(there), done["moments"], done["sent"], done["seconds"])
        return self._whole[destination]

    def kill(self, destination: str, die: Mapping[str, Any], *, must_die: bool = False) -> str:
        """Let an upload die, run it again, and prove what must hold; says at what it died."""
        whole = self.whole(destination)
        self.clear(destination)
        killed = self.upload(destination, die)
        assert killed["status"] == -9 or (killed["status"] == 0 and not must_die), killed
        if killed["status"] == -9:
            left = self.contents(self.look(destination))
            assert left.items() <= whole.contents.items(), "what an upload left when it died is not whole"
            assert not self.receipt(destination).exists() or left == whole.contents
        again = self.upload(destination)
        assert again["status"] == 0, again["output"]
        assert killed["sent"] + again["sent"] <= whole.sent + AGAIN[destination] + SMALL, (killed, again, whole.sent)
        there = self.look(destination)
        assert self.contents(there) == whole.contents
        self.prove(destination, there)
        once_more = self.upload(destination)
        assert (once_more["status"], once_more["sent"]) == (0, 0), once_more
        self.died += killed["status"] == -9
        return f"{killed['sent']} of {whole.sent} bytes sent when it died, {again['sent']} by the next"

    def change(self) -> None:
        """Let the session folder's largest file have other content: a new generation, ready to be sent."""
        folder = self.lab.export.of(HARD_NAME)[0].folder
        assert folder is not None
        path = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        with open(path, "r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            last = stream.read(1)[0]
            stream.seek(-1, os.SEEK_END)
            stream.write(bytes([last ^ 1]))
        self.lab.note_raw()
        self.lab.snakemake("seal", "deidentify")
        self.keep_statements()
        self._whole.clear()

    def keep_statements(self) -> None:
        """Remember the chain of statements as it is before anything is sent."""
        shutil.copy(self.lab.paths.private / self.unit.code / "statements.jsonl", self.lab.folder / "statements.before")

    def die_at_random(self, destination: str, generator: random.Random) -> dict[str, Any]:
        """A moment of an upload, or a time in it."""
        whole = self.whole(destination)
        if generator.random() < 0.5:
            return {"moment": generator.randrange(1, whole.moments + 1)}
        return {"seconds": generator.uniform(0, whole.seconds)}

    # --- what holds ---------------------------------------------------------------------------------------------------

    def prove(self, destination: str, there: Mapping[str, Stored]) -> None:
        """Prove that a finished upload is right wherever one can look; `there` is what the destination holds."""
        lab, unit = self.lab, self.unit
        record = ledger.read_receipt(self.receipt(destination))
        (copy,) = ledger.copies(lab.paths.ledger(destination, unit)).values()
        assert copy.evidence == "acknowledged"
        assert record["objects"] == sorted((dict(one) for one in copy.objects), key=lambda one: one["key"])
        assert {one["key"] for one in record["objects"]} == there.keys() - {"HOW-TO-OPEN.txt"}
        events = [line["event"] for line in read_journal(lab.paths.ledger(destination, unit))]
        assert (events[0], events[-1], events.count("acknowledged")) == ("intent", "acknowledged", 1)
        for one in record["objects"]:
            stored = there[one["key"]]
            assert one["size"] == stored.size
            if one["sha256_tree"]:
                tree = TreeHash()
                tree.update(stored.content)
                assert one["sha256_tree"] == tree.hexdigest(), one["key"]
            if destination != "nas":
                assert (one["etag"], one["version_id"]) == (stored.etag.strip('"'), stored.version_id)
        if destination == "azure":
            assert self.account.snapshots(AZURE) == [], "an object was stored twice"
        elif destination != "nas":
            versions = lab.client.list_object_versions(Bucket=self.bucket(destination))["Versions"]
            assert sorted(one["Key"] for one in versions) == sorted(there), "an object was stored twice"
        self.prove_nothing_is_left(destination)
        self.prove_nonces()

    def prove_nothing_is_left(self, destination: str) -> None:
        """Prove that neither unfinished uploads nor states, secrets or half-written files remain."""
        lab = self.lab
        assert not lab.paths.transfer(destination, self.unit).exists()
        assert not lab.paths.transfer_secrets(destination, self.unit).exists()
        for folder in (lab.paths.results, lab.paths.private, lab.folder / "nas"):
            assert not list(folder.rglob(f".*{TEMPORARY_SUFFIX}")), folder
        if destination == "azure":
            assert self.account.unfinished(AZURE) == []
        elif destination != "nas":
            uploads = lab.client.list_multipart_uploads(Bucket=self.bucket(destination)).get("Uploads", [])
            assert not uploads

    def prove_nonces(self) -> None:
        """Prove that no key and nonce have ever encrypted two contents."""
        journal = self.lab.folder / "envelopes.jsonl"
        if journal.exists():
            lines = [json.loads(line) for line in journal.read_text().splitlines()]
            used = {(line["key"], line["nonce"], line["of"]) for line in lines}
            assert len({(key, nonce) for key, nonce, _ in used}) == len(used)

    # --- what is there ------------------------------------------------------------------------------------------------

    def receipt(self, destination: str) -> Path:
        """The receipt's path."""
        return self.lab.paths.receipt(destination, self.unit)

    def bucket(self, destination: str) -> str:
        """The bucket of this unit."""
        bucket = self.lab.settings["destinations"][destination]["bucket"]
        return str(bucket[self.unit.kind] if isinstance(bucket, dict) else bucket)

    def look(self, destination: str) -> dict[str, Stored]:
        """Everything at a destination, by key."""
        if destination == "azure":
            return self.account.objects(AZURE)
        if destination != "nas":
            return self.lab.objects(self.bucket(destination))
        root = self.lab.folder / "nas"
        paths = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(TEMPORARY_SUFFIX)]
        found = {str(path.relative_to(root)): path.read_bytes() for path in paths}
        return {key: Stored("nas", key, len(data), "", None, {}, data) for key, data in found.items()}

    def contents(self, there: Mapping[str, Stored]) -> dict[str, str]:
        """What stands for the plain content of each object."""
        return {key: self._plain(key, one.content) for key, one in there.items()}

    def _plain(self, key: str, data: bytes) -> str:
        cipher = hashlib.sha256(data).hexdigest()
        if key.endswith(".statement.json"):
            # Each upload of files may make a statement anew: what it says without time and signature is the same.
            said = json.loads(data)
            return json.dumps({name: said[name] for name in ("unit", "generation", "manifest_sha256", "sha256_tree")})
        if not data.startswith(b"age-encryption.org/v1\n"):
            return cipher
        if cipher not in self._ciphertext:
            digest = hashlib.sha256()
            decrypt_stream(io.BytesIO(data), read_identities(self.lab.folder / "daily.key"), digest.update)
            self._ciphertext[cipher] = digest.hexdigest()
        return self._ciphertext[cipher]

    def clear(self, destination: str) -> None:
        """Make it as if nothing had ever been sent there."""
        lab = self.lab
        for path in (
            lab.paths.receipt(destination, self.unit).parent,
            lab.paths.ledger(destination, self.unit).parent,
            lab.paths.transfer(destination, self.unit).parent,
            lab.paths.transfer_secrets(destination, self.unit).parent,
        ):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copy(lab.folder / "statements.before", lab.paths.private / self.unit.code / "statements.jsonl")
        if destination == "nas":
            shutil.rmtree(lab.folder / "nas")
            (lab.folder / "nas").mkdir()
            return
        if destination == "azure":
            self.account.renew(AZURE)
            return
        bucket = self.bucket(destination)
        for one in lab.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            lab.client.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
        found = lab.client.list_object_versions(Bucket=bucket).get("Versions", [])
        if found:
            names = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            lab.client.delete_objects(Bucket=bucket, Delete={"Objects": names})


class Killing(Protocol):
    """A yard in which something is killed."""

    died: int

    def kill(self, destination: str, die: Mapping[str, Any]) -> str: ...

    def die_at_random(self, destination: str, generator: random.Random) -> dict[str, Any]: ...


def kill_at_random(yard: Killing, destination: str, generator: random.Random, deaths: int) -> None:
    """Kill at random moments and times until `deaths` have died of it.

    Some live: by a time that was chosen, a run may have ended, the more of them the busier the machine was when the
    undisturbed run was timed. Of the moments, nearly none does.
    """
    wanted = yard.died + deaths
    for _ in range(4 * deaths):
        if yard.died == wanted:
            return
        yard.kill(destination, yard.die_at_random(destination, generator))
    assert yard.died == wanted, "too few died: the moments are chosen badly"


@contextmanager
def yard_in(folder: Path) -> Iterator[Yard]:
    """A yard with a server of its own. What it leaves is checked at its end; then the server's data is removed."""
    folder.mkdir(parents=True)
    with running(folder / "sandbox", only=["s3", "azure"]) as services:
        lab = make_lab(folder / "lab", services.s3, prefix="kills", people=())
        lab.azure = AzureAccount(services.azure)
        encrypted: dict[str, Any] = {"form": "files", "encrypt": True, "exclude": {"vid": ["*.doc"]}}
        lab.settings["destinations"]["azure"] = azure_destination(lab.azure, AZURE, **encrypted)
        enlarge(lab)
        lab.register(HARD_NAME)
        unit = Unit(lab.code(), 1, "vid")
        for destination in lab.settings["destinations"].values():
            if destination["type"] != "folder":
                destination |= {"part_size_mib": PART // MIB, "connections": CONNECTIONS}
        lab.configure(link="copy")
        lab.snakemake("seal", "deidentify")
        station = subprocess.Popen(
            [sys.executable, STATION],
            env=_environment(lab),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yard = Yard(lab, unit, station)
            yard.keep_statements()
            yield yard
        finally:
            assert station.stdin
            station.stdin.close()
            station.wait(60)
        lab.check()
    shutil.rmtree(folder / "sandbox")


def _environment(lab: Lab) -> dict[str, str]:
    return lab._environment() | {"PYTHONPATH": str(STATION.parents[2] / "scripts")}


def enlarge(lab: Lab) -> None:
    """Give one session files that go in several parts."""
    generator = random.Random(7)
    folder = lab.export.of(HARD_NAME)[0].folder
    assert folder is not None
    for path in folder.iterdir():
        size = BIG.get(path.name[-9:])
        if size:
            status = path.stat()
            with open(path, "ab") as stream:
                stream.write(generator.randbytes(size - status.st_size))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    lab.note_raw()
