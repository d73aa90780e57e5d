"""`ecogvault reseal`: new recipients for what is sealed, as a new generation, without a byte too many."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from archive_lab import ArchiveLab

from ecogvault import archive, audit, chain, ledger, prune, reseal
from ecogvault.age import FileSource, NoMatchingIdentity, open_sealed
from ecogvault.cli import main
from ecogvault.config import check
from ecogvault.costs import read_prices, upload_cost
from ecogvault.digests import Crc64Nvme
from ecogvault.files import Locked
from ecogvault.intake.assignment import unit_state
from ecogvault.manifest import Manifest
from ecogvault.records import read_record
from ecogvault.reseal import CannotReseal, cost, reseal_unit, survey
from ecogvault.sandbox.servers import running
from ecogvault.send.tarball import SealedOtherwise
from ecogvault.statement import statement_sha256


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    monkeypatch.chdir(tmp_path)
    return ArchiveLab(tmp_path).archived()


def plain_of(path: Path, lab: ArchiveLab, key: str) -> tuple[bytes, bytes]:
    """The file key and the digest of the content of an age file."""
    with open(path, "rb") as stream:
        content = open_sealed(FileSource(stream.fileno()), [lab.keys[key]])
        return content.envelope.file_key, hashlib.sha256(content.read_at(0, content.size)).digest()


def run(lab: ArchiveLab, *words: object) -> int:
    return main(["--config", str(lab.config_file), "reseal", *map(str, words)])


@pytest.mark.parametrize("new_file_key", [False, True])
def test_the_new_generation_opens_with_the_new_keys_and_not_with_the_one_taken_away(
    lab: ArchiveLab, new_file_key: bool
) -> None:
    unit = lab.units[0]
    tarball = lab.paths.sealed(unit)
    old_bytes, old_index = tarball.read_bytes(), lab.paths.index(unit).read_bytes()
    old_key, old_plain = plain_of(tarball, lab, "daily")
    old = read_record(lab.paths.statement(unit))
    newest = chain.previous(lab.private, unit)
    lab.list_recipients("later", "escrow")
    done = reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=new_file_key)
    assert (done.generation, done.size) == (2, tarball.stat().st_size)

    with pytest.raises(NoMatchingIdentity):
        plain_of(tarball, lab, "daily")
    new_key, new_plain = plain_of(tarball, lab, "later")
    assert new_plain == old_plain
    assert (new_key == old_key) is not new_file_key
    assert (tarball.read_bytes()[-1000:] == old_bytes[-1000:]) is not new_file_key
    assert lab.paths.index(unit).read_bytes() == old_index

    made = read_record(lab.paths.statement(unit))
    assert (made["generation"], made["manifest_sha256"]) == (2, old["manifest_sha256"])
    assert made["previous"] == newest
    assert made["recipients"] == [lab.keys[name].recipient().fingerprint for name in ("later", "escrow")]
    assert chain.previous(lab.private, unit) == statement_sha256(made)


def test_the_next_run_sends_the_new_generation_beside_the_old_and_restores_take_it(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    before = {name: lab.paths.receipt(name, unit).read_bytes() for name in ("nas", "crypt")}
    lab.list_recipients("later", "escrow")
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]])
    assert not lab.paths.receipt("deep", unit).exists()
    assert {name: lab.paths.receipt(name, unit).read_bytes() for name in before} == before

    manifest = Manifest.read(lab.paths.manifest(unit))
    assert archive.current_generation(lab.paths, unit, manifest) == 2
    sent = lab.upload(unit, "deep")
    assert (sent.copy.generation, sent.sent > lab.paths.sealed(unit).stat().st_size) == (2, True)
    assert {path.name for path in (lab.folder / "deep" / unit.code).glob(f"{unit}.*")} == {
        f"{unit}.g{generation}.{end}" for generation in (1, 2) for end in ("tar.zst.age", "statement.json")
    }
    with pytest.raises(NoMatchingIdentity):
        lab.restore(unit, "deep")
    assert lab.restore(unit, "deep", lab.as_seen_by("later")).is_dir()
    assert lab.upload(unit, "deep").sent == 0


@pytest.mark.parametrize("name", ["nas", "crypt"])
def test_sets_of_files_keep_their_generation_and_cost_nothing_when_their_receipt_is_made_again(
    lab: ArchiveLab, name: str
) -> None:
    unit = lab.units[0]
    here = {path: path.read_bytes() for path in (lab.folder / name).rglob("*") if path.is_file()}
    receipt = lab.paths.receipt(name, unit).read_bytes()
    lab.list_recipients("later", "escrow")
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]])
    done = lab.upload(unit, name)
    assert (done.sent, done.copy.generation) == (0, 1)
    assert {path: path.read_bytes() for path in (lab.folder / name).rglob("*") if path.is_file()} == here
    assert lab.paths.receipt(name, unit).read_bytes() == receipt
    assert lab.restore(unit, name).is_dir()


@pytest.mark.parametrize("name", ["nas", "crypt"])
def test_a_file_found_wrong_after_a_reseal_is_replaced(lab: ArchiveLab, name: str) -> None:
    unit = lab.units[0]
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=True)
    copy = lab.copies(unit, name)[1]
    one = next(one for one in copy.objects if "_0001.avi" in str(one["key"]))
    path = lab.folder / name / one["key"]
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    line = ledger.event("wrong", 1, copy.manifest_sha256, keys=[one["key"]])
    ledger.append(lab.paths.ledger(name, unit), line, mode=0o600, group=None)
    done = lab.upload(unit, name)
    assert (done.copy.generation, done.copy.evidence) == (1, "acknowledged")
    assert 0 < done.sent < 2 * one["size"]
    assert lab.restore(unit, name).is_dir()


def test_new_content_after_a_reseal_is_the_next_generation_everywhere(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=True)
    manifest = Manifest.read(lab.paths.manifest(unit))
    known = lab.copies(unit, "nas")
    assert ledger.generation_there("files", known, 2, manifest.sha256) == 1
    assert ledger.generation_there("files", known, 3, "ab" * 32) == 3
    assert ledger.generation_there("tarball", known, 2, manifest.sha256) == 2
    # The content of generation 1 came back after another one: it has to be sent again, and not be taken for there.
    other = {**known, 2: ledger.Copy(2, "ab" * 32, evidence="listed")}
    assert ledger.generation_there("files", other, 3, manifest.sha256) == 3


def test_a_resealed_tarball_is_pruned_when_all_destinations_have_it(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    lab.list_recipients("later", "escrow")
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]])
    lab.upload(unit, "deep")
    for name in ("deep", "nas", "crypt"):
        copy = max(lab.copies(unit, name).values(), key=lambda one: one.generation)
        line = ledger.event("listed", copy.generation, copy.manifest_sha256)
        ledger.append(lab.paths.ledger(name, unit), line, mode=0o600, group=None)
    said: list[str] = []
    prune.prune(lab.config, say=said.append)
    assert not lab.paths.sealed(unit).exists()
    found = survey(lab.config, lab.private, [unit], new_file_key=False)
    assert found.done == (unit,)
    lab.list_recipients("daily", "escrow")
    found = survey(lab.config, lab.private, [unit], new_file_key=False)
    assert f"`snakemake {lab.paths.sealed(unit)}`" in found.left[unit]
    with pytest.raises(CannotReseal, match="was pruned"):
        reseal_unit(lab.config, lab.private, unit, [lab.keys["later"]])
    # Sealed again to the new recipients, it still is not what lies at the destination: a new generation is due.
    lab.seal(unit)
    assert survey(lab.config, lab.private, [unit], new_file_key=False).ready == (unit,)


def test_the_cost_and_what_stays_is_said_for_each_destination(lab: ArchiveLab) -> None:
    sizes = sum(lab.paths.sealed(unit).stat().st_size for unit in lab.units)
    lines = cost(lab.config, lab.private, lab.units, new_file_key=False)
    assert lines[0].startswith(f"deep: 2 tarballs, {sizes} bytes")
    assert f": {sizes} bytes to be sent, 0 to be copied there: each goes whole, since in a folder" in lines[0]
    assert [line for line in lines if line.startswith("nas")] == []
    (crypt,) = [line for line in lines if line.startswith("crypt: 0 bytes")]
    assert "stay as they are" in crypt
    assert [line for line in lines if line.startswith("  deep: ")] == [
        f"  deep: {unit.code}/{unit}.g1.tar.zst.age" for unit in lab.units
    ]
    assert "--new-file-key" in lines[-1]
    lines = cost(lab.config, lab.private, lab.units, new_file_key=True)
    assert "0 to be copied there: all of it is encrypted anew" in lines[0]
    assert "cannot be called back" in lines[-1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "glacier", "vault": "v", "region": "us-west-2"}, "a vault copies nothing"),
        ({"type": "azure", "container": "c", "account_url": "https://x.example"}, "from one blob to another nothing"),
        ({"type": "s3", "bucket": "b"}, "the generation before it is not known to be there"),
        ({"type": "s3", "bucket": "b", "storage_class": "DEEP_ARCHIVE"}, "S3 copies nothing of class DEEP_ARCHIVE"),
    ],
)
def test_the_cost_says_what_goes_whole_and_why(lab: ArchiveLab, settings: dict[str, str], said: str) -> None:
    place = {"form": "tarball", "zone": "outside", **settings}
    config = check({**lab.config.values, "destinations": {"far": place}})
    size = sum(lab.paths.sealed(unit).stat().st_size for unit in lab.units)
    line = cost(config, lab.private, lab.units, new_file_key=False)[0]
    assert f"{size} bytes to be sent, 0 to be copied there: each goes whole, since " in line
    assert said in line
    assert line.endswith("; no price configured")


def test_the_cost_in_money_is_said_where_there_are_prices(lab: ArchiveLab) -> None:
    vault = {"type": "glacier", "form": "tarball", "zone": "outside", "vault": "v", "region": "us-west-2"}
    prices = Path(__file__).parents[2] / "config/prices.yaml"
    config = check({**lab.config.values, "destinations": {"far": vault}, "prices": str(prices)})
    sizes = [lab.paths.sealed(unit).stat().st_size for unit in lab.units]
    told = upload_cost(read_prices(prices), sizes, 64 * MIB)
    line = cost(config, lab.private, lab.units, new_file_key=False)[0]
    assert line.endswith(
        f"; {told.once:.2f} USD once, {told.monthly:.2f} USD a month, "
        f"{told.minimum:.2f} USD at least, at list prices of {read_prices(prices).as_of}"
    )
    folder = cost(lab.config, lab.private, lab.units, new_file_key=False)[0]
    assert "USD" not in folder
    assert "price" not in folder


MIB = 1024 * 1024


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a real S3 server, whose keys are in the environment."""
    with (
        running(tmp_path_factory.mktemp("sandbox"), ["s3"]) as services,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", services.s3["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", services.s3["aws_secret_access_key"])
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # A session of its own: boto3's default one would keep these keys for the tests after these.
        session = boto3.Session(region_name=services.s3["region"])
        yield session.client("s3", endpoint_url=services.s3["endpoint_url"])


def in_a_bucket(s3: Any, folder: Path, **more: Any) -> ArchiveLab:
    """A lab whose tarballs, of two parts each, are in a bucket `deep-...`."""
    bucket = f"deep-{folder.name.lower().replace('_', '-')[-30:].strip('-')}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    deep = {
        "type": "s3",
        "form": "tarball",
        "bucket": bucket,
        "endpoint_url": s3.meta.endpoint_url,
        "region": s3.meta.region_name,
        "part_size_mib": 5,
        **more,
    }
    lab = ArchiveLab(folder, {"deep": deep}, noise=4 * MIB)
    lab.make(lab.units[0])
    lab.upload(lab.units[0], "deep")
    return lab


def objects(s3: Any, lab: ArchiveLab) -> dict[str, bytes]:
    bucket = lab.config.destinations["deep"].bucket("vid")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def test_s3_copies_the_payload_and_is_sent_the_first_part_alone(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = in_a_bucket(s3, tmp_path)
    unit = lab.units[0]
    before = objects(s3, lab)
    size = lab.paths.sealed(unit).stat().st_size
    (said,) = [line for line in cost(lab.config, lab.private, [unit], new_file_key=False) if line.startswith("deep:")]
    assert f": {5 * MIB} bytes to be sent, {size - 5 * MIB} to be copied there: the first part of each is sent" in said
    # Twice, the first of which is never sent: it is still the payload of the generation that is there.
    lab.list_recipients("later", "escrow", "daily")
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]])
    lab.list_recipients("later", "escrow")
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]])
    done = lab.upload(unit, "deep")
    assert 5 * MIB < done.sent < 5 * MIB + 10_000  # and a statement
    now = objects(s3, lab)
    assert {key: now[key] for key in before} == before
    key = f"{unit.code}/{unit}.g3.tar.zst.age"
    assert now[key] == lab.paths.sealed(unit).read_bytes()
    (one,) = [one for one in done.copy.objects if one["key"] == key]
    crc = Crc64Nvme()
    crc.update(now[key])
    assert one["crc64nvme"] == crc.digest().hex()
    assert one["sha256_tree"] == read_record(lab.paths.statement(unit))["sha256_tree"]
    assert lab.restore(unit, "deep", lab.as_seen_by("later")).is_dir()
    # The next one is copied from that.
    lab.list_recipients("daily", "escrow")
    reseal_unit(lab.config, lab.private, unit, [lab.keys["later"]])
    assert lab.upload(unit, "deep").sent < 5 * MIB + 10_000


@pytest.mark.parametrize("why", ["new file key", "sealed anew", "the older copy was found wrong"])
def test_a_payload_that_is_not_known_to_be_there_is_sent(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = in_a_bucket(s3, tmp_path)
    unit = lab.units[0]
    if why == "the older copy was found wrong":
        copy = lab.copies(unit, "deep")[1]
        line = ledger.event("wrong", 1, copy.manifest_sha256, keys=[f"{unit.code}/{unit}.g1.tar.zst.age"])
        ledger.append(lab.paths.ledger("deep", unit), line, mode=0o600, group=None)
    lab.list_recipients("later", "escrow")
    if why == "sealed anew":
        lab.seal(unit)
        (said,) = [one for one in cost(lab.config, lab.private, [unit], new_file_key=False) if one.startswith("deep:")]
        assert "each goes whole" in said
        reseal_unit(lab.config, lab.private, unit, [lab.keys["later"]])
    else:
        reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=why == "new file key")
    size = lab.paths.sealed(unit).stat().st_size
    assert size < lab.upload(unit, "deep").sent < size + 10_000
    assert objects(s3, lab)[f"{unit.code}/{unit}.g2.tar.zst.age"] == lab.paths.sealed(unit).read_bytes()


def test_the_command_asks_first_skips_what_is_done_and_says_what_is_next(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(lab, "--all", "-i", lab.folder / "daily") == 0
    assert capsys.readouterr().out == "2 unit(s) are encrypted to the recipients of today already\n"
    lab.list_recipients("later", "escrow")
    assert run(lab, lab.code, "-i", lab.folder / "daily") == 1
    assert "--yes" in capsys.readouterr().err
    assert unit_state(lab.paths, lab.units[0]).generation == 1
    assert run(lab, lab.units[0], "-i", lab.folder / "daily", "--yes") == 0
    said = capsys.readouterr().out
    assert f"{lab.units[0]}: generation 2" in said
    assert "`snakemake` sends the new generations" in said
    assert [unit_state(lab.paths, unit).generation for unit in lab.units] == [2, 1]
    assert run(lab, "--all", "-i", lab.folder / "later", "--yes") == 1  # the old unit does not open with the new key
    said = capsys.readouterr().out
    assert f"{lab.units[1]} stays as it is: none of the 1 given age identities" in said
    assert "`snakemake` sends" not in said
    assert run(lab, "--all", "-i", lab.folder / "escrow", "--yes", "--new-file-key") == 0
    assert [unit_state(lab.paths, unit).generation for unit in lab.units] == [3, 2]
    verbs = [(line["verb"], line["code"]) for line in audit.check(lab.private)]
    assert ("reseal", lab.code) in verbs
    for word in ("a0000000", f"{lab.code}_9_vid"):
        assert run(lab, word, "-i", lab.folder / "daily", "--yes") == 1


def test_a_damaged_or_swapped_tarball_is_refused_by_name_and_nothing_changes(lab: ArchiveLab) -> None:
    first, second = lab.units
    lab.list_recipients("later", "escrow")
    kept = lab.paths.sealed(first).read_bytes()
    middle = len(kept) // 2
    for wrong in (
        lab.paths.sealed(second).read_bytes(),
        kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :],
    ):
        lab.paths.sealed(first).write_bytes(wrong)
        with pytest.raises(CannotReseal, match=f"{first}.tar.zst.age is not what its signed statement describes"):
            reseal_unit(lab.config, lab.private, first, [lab.keys["daily"]])
        assert lab.paths.sealed(first).read_bytes() == wrong
        assert unit_state(lab.paths, first).generation == 1
        assert lab.paths.receipt("deep", first).exists()
    assert [path.name for path in lab.paths.sealed(first).parent.iterdir() if path.name.endswith("~")] == []


def test_a_tarball_that_is_being_sent_is_left_alone(lab: ArchiveLab) -> None:
    with ledger.ledger_lock(lab.paths, "deep", lab.units[0]), pytest.raises(Locked):
        reseal_unit(lab.config, lab.private, lab.units[0], [lab.keys["daily"]])


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("step", ["raise_generation", "keep", "_take_back", "the first rename", "the second rename"])
def test_a_reseal_that_is_killed_at_any_step_is_finished_by_another_and_sends_nothing_wrong(
    lab: ArchiveLab, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    unit = lab.units[0]
    lab.list_recipients("later", "escrow")

    real = os.replace
    renames = 0

    def rename(source: object, target: object) -> None:
        nonlocal renames
        if str(target) in (str(lab.paths.sealed(unit)), str(lab.paths.statement(unit))):
            renames += 1
            if renames == {"the first rename": 1, "the second rename": 2}.get(step):
                raise Killed
        real(source, target)  # type: ignore[arg-type]

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", rename)
        if step in ("raise_generation", "_take_back"):
            broken.setattr(reseal, step, killed)
        elif step == "keep":
            broken.setattr(chain, "keep", killed)
        with pytest.raises(Killed):
            reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]])
    if step != "raise_generation":
        with pytest.raises(SealedOtherwise, match="ecogvault reseal"):
            lab.upload(unit, "deep")
    assert survey(lab.config, lab.private, [unit], new_file_key=False).ready == (unit,)
    key = "later" if step == "the second rename" else "daily"
    reseal_unit(lab.config, lab.private, unit, [lab.keys[key]])
    lab.upload(unit, "deep")
    assert lab.restore(unit, "deep", lab.as_seen_by("later")).is_dir()


def test_the_registrys_copy_is_due_again_since_generations_are_in_it(lab: ArchiveLab) -> None:
    folder = lab.paths.results / "registry"
    folder.mkdir()
    for name in ("nas.0123456789ab.json", "crypt.0123456789ab.json"):
        (folder / name).touch()
    reseal_unit(lab.config, lab.private, lab.units[0], [lab.keys["daily"]], new_file_key=True)
    assert [path.name for path in folder.iterdir()] == ["crypt.0123456789ab.json"]


def test_a_closed_subject_is_left_by_name(lab: ArchiveLab) -> None:
    from ecogvault.registry import set_status

    set_status(lab.private, lab.code, "closed")
    found = survey(lab.config, lab.private, lab.units, new_file_key=True)
    assert set(found.left) == set(lab.units)
    assert "is closed" in found.left[lab.units[0]]
