"""The old estate, in the layouts of the old scripts and made by real OpenSSL: adopted, brought back, made anew."""

import csv
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from clouds import AzureAccount
from lab import Job, Lab, azure_destination

from ecogvault.naming import Unit
from ecogvault.sandbox.export import PLAIN_NAME
from ecogvault.sandbox.servers import running
from legacy_builder import PASSWORD, encrypted, packed

CODE = "df5c5206"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("azure"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureAccount]:
    with running(tmp_path_factory.mktemp("azure"), only=["azure"]) as services:
        yield AzureAccount(services.azure)


def coded_by_hand(lab: Lab) -> dict[str, bytes]:
    """A session of PLAIN_NAME as the old scripts left it: coded names, a scrubbed header, the vendor's files as is."""
    session = lab.export.of(PLAIN_NAME)[0]
    assert session.edf is not None
    assert session.folder is not None
    header = session.edf.read_bytes()
    found = {f"{CODE}_1.edf": header[:8] + f"{CODE} X X X".ljust(80).encode() + header[88:]}
    for path in session.folder.iterdir():
        found[f"{CODE}_1/{path.name.replace(session.folder.name, f'{CODE}_1')}"] = path.read_bytes()
    return found


def tarred(files: dict[str, bytes], prefix: str) -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in sorted(files.items()):
            info = tarfile.TarInfo(f"{prefix}/{path}")
            info.size, info.mtime = len(content), 1_300_000_000
            archive.addfile(info, BytesIO(content))
    return out.getvalue()


def test_what_the_old_scripts_left_is_adopted_comes_back_by_one_command_each_and_is_archived_anew(
    make: Callable[..., Lab], account: AzureAccount
) -> None:
    lab = make()
    lab.azure = account
    lab.snakemake()
    files = coded_by_hand(lab)
    clips = {path: content for path, content in files.items() if path.endswith(".avi")}
    folder = {path: content for path, content in files.items() if "/" in path}
    made = lab.folder / "home" / "made"
    made.mkdir(parents=True)

    # Azure has one archive of all session folders; S3 every video by itself; the NAS the recording, never encrypted.
    place = lab.settings["destinations"]["deep"]
    old_azure = azure_destination(account, "legacy", kinds=[])
    old_s3 = {**place, "form": "files", "kinds": [], "bucket": place["bucket"]}
    archive = encrypted(made / "archive", packed(tarred(folder, f"media/lab/disk2/{CODE}")))
    account.container("legacy").upload_blob(f"{CODE}_vid", archive.read_bytes())
    for path, content in clips.items():
        one = encrypted(made / "one", content)
        lab.client.put_object(Bucket=place["bucket"], Key=f"{CODE}/{path}.enc", Body=one.read_bytes())
    recording = lab.folder / "nas" / "edf" / CODE / f"{CODE}_1.edf"
    recording.parent.mkdir()
    recording.write_bytes(files[f"{CODE}_1.edf"])
    (lab.folder / "home" / "password").write_bytes(PASSWORD + b"\n")
    (lab.folder / "home" / "password").chmod(0o600)
    lab.configure(
        legacy_password_file="home/password",
        destinations={**lab.settings["destinations"], "old-azure": old_azure, "old-s3": old_s3},
    )
    sheet = lab.folder / "people" / "sheet.csv"
    with open(sheet, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("code", "name"), (CODE, f"{PLAIN_NAME.surname}, {PLAIN_NAME.given}")])

    sent, objects = lab.bytes_sent(), {(one.bucket, one.key, one.etag) for one in lab.all_objects()}
    assert "1 new codes, 1 new people" in lab.ecogvault("adopt", "--spreadsheet", sheet).output
    for name, count in (("old-azure", 1), ("old-s3", len(clips)), ("nas", 1)):
        assert f"{name}: {count} old copies adopted" in lab.ecogvault("adopt", "--from", name).output
    assert lab.ecogvault("adopt", "--list").output.count(CODE) >= len(clips) + 2
    assert lab.snakemake().of("upload_unit") == []
    assert lab.bytes_sent() == sent
    assert {(one.bucket, one.key, one.etag) for one in lab.all_objects()} == objects

    # One command each.
    for name, wanted in (
        ("old-azure", folder),
        ("old-s3", {f"{CODE}_1/{Path(path).name}": content for path, content in clips.items()}),
        ("nas", {f"{CODE}_1.edf": files[f"{CODE}_1.edf"]}),
    ):
        run = lab.snakemake("--config", f"subject={CODE}", f"from={name}", "--", "restore")
        assert {job.rule for job in run.jobs} == {"restore_old"}
        root = lab.paths.restored / name / f"{CODE}_old"
        found = {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert found == {Path(path).name: content for path, content in wanted.items()}

    # Made anew: planned, confirmed, accepted, archived; then the old ones are replaceable, and still there.
    planned = lab.snakemake("modernise").ours
    assert any(line.startswith("modernise: 0 old copies wait") for line in planned)  # all were opened above


def test_a_legacy_subject_is_modernised_to_units_like_any_other(make: Callable[..., Lab]) -> None:
    lab = make()
    lab.snakemake()
    files = coded_by_hand(lab)
    made = lab.folder / "home" / "made"
    made.mkdir(parents=True)
    bucket = lab.settings["destinations"]["deep"]["bucket"]
    for kind, prefix in (("vid", f"{CODE}_1/"), ("edf", f"{CODE}_1.edf")):
        some = {path: content for path, content in files.items() if path.startswith(prefix)}
        one = encrypted(made / kind, packed(tarred(some, f"media/x/{CODE}")))
        lab.client.put_object(Bucket=bucket, Key=f"{CODE}_{kind}.tar.gz.enc", Body=one.read_bytes())
    (lab.folder / "home" / "password").write_bytes(PASSWORD + b"\n")
    (lab.folder / "home" / "password").chmod(0o600)
    lab.configure(legacy_password_file="home/password", modernised="modernised")
    sheet = lab.folder / "people" / "sheet.csv"
    sheet.write_text(f"code,surname,given\n{CODE},{PLAIN_NAME.surname},{PLAIN_NAME.given}\n", encoding="utf-8")
    lab.ecogvault("adopt", "--spreadsheet", sheet, "--from", "deep")

    planned = lab.snakemake("modernise").ours
    assert any(line.startswith("modernise: 2 old copies wait") for line in planned), planned
    done = lab.snakemake("--config", "confirm=yes", "--", "modernise").ours
    assert "modernise: 2 old copies opened, 0 failed" in done
    run = lab.snakemake()
    units = {str(Unit(CODE, 1, kind)) for kind in ("edf", "vid", "sync")}
    assert {job.unit for job in run.of("upload_unit")} == units
    assert Job("upload_unit", f"{CODE}_1_vid", "deep") in run.jobs
    waiting = lab.snakemake("modernise").ours
    assert any("was not verified there yet" in line for line in waiting), waiting
    lab.snakemake("verify")
    ended = lab.snakemake("modernise").ours
    assert sum("is replaceable: all that is in it is archived anew" in line for line in ended) == 2, ended
    keys = lab.objects(bucket)
    assert {f"{CODE}_vid.tar.gz.enc", f"{CODE}_edf.tar.gz.enc"} <= keys.keys()
