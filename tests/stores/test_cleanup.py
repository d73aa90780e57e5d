"""`ecogvault cleanup` and `ecogvault preflight`, by their verbs, on a real S3 server."""

import json
from pathlib import Path

import pytest
import yaml
from test_s3_examine import make_public

from ecogvault.cli import main
from ecogvault.config import check
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.stores.pieces import MIB
from ecogvault.transfer import transfer_state

CODE = "df5c5206"
ABANDONED = f"{CODE}/{CODE}_1_vid.g1.tar.zst.age"
WAITING = f"{CODE}/{CODE}_2_vid.g1.tar.zst.age"


class Lab:
    """A folder with a configuration, one destination `deep`, and what begun uploads have left in its bucket."""

    def __init__(self, server, folder: Path, **more) -> None:
        self.server, self.folder, self.bucket = server, folder, server.bucket()
        deep = {
            "type": "s3",
            "zone": "outside",
            "form": "tarball",
            "bucket": self.bucket,
            "endpoint_url": server.endpoint_url,
            "region": server.region,
            **more,
        }
        self.values = {"results": str(folder / "results"), "destinations": {"deep": deep}}
        self.file = folder / "config.yaml"
        self.file.write_text(yaml.safe_dump(self.values))
        self.paths = Paths.of(check(self.values))
        self.paths.subject(CODE).mkdir(parents=True)

    def begin(self, key: str, size: int = 5 * MIB) -> str:
        upload = self.server.client.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        part = {"UploadId": upload, "PartNumber": 1, "Body": b"x" * size}
        self.server.client.upload_part(Bucket=self.bucket, Key=key, **part)
        return str(upload)

    def state(self):
        unit = Unit(CODE, 2, "vid")
        paths = self.paths.transfer("deep", unit), self.folder / "secrets.json"
        return transfer_state(*paths, what="a test")

    def begun(self) -> list[str]:
        uploads = self.server.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return sorted(one["Key"] for one in uploads)

    def __call__(self, *words: str) -> int:
        return main(["--config", str(self.file), *words])


@pytest.fixture
def lab(server, tmp_path) -> Lab:
    lab = Lab(server, tmp_path)
    lab.begin(ABANDONED)
    lab.begin("somebody/else's.bin")
    upload = lab.begin(WAITING)
    with lab.state() as state:
        state.upload(WAITING).begin(upload, 5 * MIB, "digest")
    return lab


def test_abandoned_uploads_are_listed_with_their_size_and_stay_until_it_is_confirmed(lab, capsys):
    assert lab("cleanup", "--older-than", "0") == 0
    said = capsys.readouterr().out
    assert f"deep: {ABANDONED} in bucket {lab.bucket}: {5 * MIB} bytes, begun 0 h ago" in said
    assert "left alone (the next run goes on with it): 1 uploads" in said
    assert "left alone (not ours): 1 uploads" in said
    assert "abandoned: 1 uploads, 5.00 MiB\n--remove ends them" in said
    assert lab("cleanup", "--older-than", "0", "--remove") == 1
    assert "nothing was done: there is no terminal" in capsys.readouterr().err
    assert len(lab.begun()) == 3


def test_only_what_is_abandoned_is_removed(lab, capsys):
    assert lab("cleanup", "--older-than", "0", "--remove", "--yes") == 0
    assert capsys.readouterr().out.endswith("1 removed\n")
    assert lab.begun() == sorted([WAITING, "somebody/else's.bin"])
    assert lab("cleanup", "--older-than", "0") == 0
    assert capsys.readouterr().out.endswith("no abandoned uploads\n")


def test_a_young_upload_that_no_state_knows_may_be_another_machines(lab, capsys):
    assert lab("cleanup", "--remove", "--yes") == 0
    assert "left alone (too young to be called abandoned): 1 uploads" in capsys.readouterr().out
    assert ABANDONED in lab.begun()


def test_a_running_upload_is_left_alone(lab, capsys):
    with lab.state():
        assert lab("cleanup", "--older-than", "0", "--remove", "--yes") == 0
    assert "left alone (running now): 1 uploads" in capsys.readouterr().out
    assert WAITING in lab.begun()


def test_uploads_of_a_subject_that_this_folder_does_not_know_are_not_ours(lab, capsys):
    lab.begin("ab123456/ab123456_1_vid.g1.tar.zst.age")
    assert lab("cleanup", "--older-than", "0", "--remove", "--yes") == 0
    assert "ab123456/ab123456_1_vid.g1.tar.zst.age" in lab.begun()


def test_what_amazon_charges_for_unfinished_uploads_is_said_for_amazon_alone(lab):
    from ecogvault import cleanup
    from ecogvault.stores import Unfinished

    upload = Unfinished("k", "id", None, 100 << 30)  # type: ignore[arg-type]
    one = cleanup.Found("deep", "bucket b", None, upload, cleanup.Fate.ABANDONED)  # type: ignore[arg-type]
    assert cleanup.cost(check(lab.values), [one]) == "1 uploads, 100.00 GiB"
    lab.values["destinations"]["deep"]["endpoint_url"] = None
    assert cleanup.cost(check(lab.values), [one]) == (
        "1 uploads, 100.00 GiB, at most 2.30 USD a month at Amazon's list price"
    )


@pytest.mark.parametrize("verb", ["cleanup", "preflight"])
def test_a_destination_that_is_not_there_is_refused_by_name(lab, capsys, verb):
    assert lab(verb, "deeep") == 1
    assert capsys.readouterr().err == "ecogvault: there is no destination 'deeep'; known: deep\n"


def test_preflight_shows_each_bucket_once_and_fails_for_a_public_one(lab, capsys):
    assert lab("preflight") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"deep: bucket {lab.bucket}\n  ok       it answers")
    assert said.count("bucket ") == said.count(f"deep: bucket {lab.bucket}\n") + said.count("put-bucket")
    make_public(lab.server.client, lab.bucket)
    assert lab("preflight") == 1
    assert f"refused  bucket {lab.bucket} is public by its policy" in capsys.readouterr().out


def test_preflight_of_a_bucket_that_does_not_exist_says_so_and_looks_at_the_others(server, tmp_path, capsys):
    lab = Lab(server, tmp_path, bucket={"vid": "no-such-bucket", "edf": server.bucket(), "sync": "no-such-bucket"})
    assert lab("preflight") == 1
    said = capsys.readouterr().out
    assert "refused  bucket no-such-bucket does not exist" in said
    assert "ok       it answers" in said


def test_preflight_tells_once_and_by_destination_what_no_kind_can_be_sent_with(lab, tmp_path, capsys):
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path), "group": "no-such-group"}
    lab.values["destinations"] = {"nas": nas}
    lab.file.write_text(yaml.safe_dump(lab.values))
    assert lab("preflight") == 1
    says = "nas:\n  refused  destinations.nas.group: this machine has no group 'no-such-group'\n"
    assert capsys.readouterr().out == says


def test_a_state_that_is_damaged_is_named_before_anything_is_removed(lab, capsys):
    path = lab.paths.transfer("deep", Unit(CODE, 2, "vid"))
    record = json.loads(path.read_text())
    record["uploads"] = {}
    path.write_text(json.dumps(record))
    assert lab("cleanup", "--older-than", "0", "--remove", "--yes") == 1
    assert "is damaged: remove it" in capsys.readouterr().err
    assert len(lab.begun()) == 3
