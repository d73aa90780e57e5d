"""The old estate comes back: archives and files that real OpenSSL made, in the old scripts' layouts."""

import re
from pathlib import Path

import pytest
from archive_lab import ArchiveLab

from ecogvault.age import BadIdentity
from ecogvault.config import Config, ConfigError, check
from ecogvault.estate.adopt import adopt
from ecogvault.estate.journal import Adopted, all_adopted
from ecogvault.estate.modernise import NotModernised, modernise, survey
from ecogvault.estate.restore import asked, restore_old
from ecogvault.intake import look
from ecogvault.legacy import NoCombination
from ecogvault.naming import Unit
from ecogvault.registry import make_person
from ecogvault.registry.existing import register_existing
from legacy_builder import AVI, PASSWORD, encrypted, packed, tar

CODE = "df5c5206"
DEEP = f"media/lab/disk/{CODE}/{CODE}_3/{CODE}_3"
FILES = {f"{DEEP}_0001.avi": AVI, f"{DEEP}_0002.avi": AVI * 2, f"{DEEP}.erd": bytes(range(256)) * 20}


class Estate:
    """A lab, and a folder `old` with what was made before, adopted. `came` restores one by its name."""

    def __init__(self, folder: Path) -> None:
        self.lab = ArchiveLab(folder, {"nas": {"form": "files"}})
        self.old = folder / "old"
        (self.old / "edf" / CODE).mkdir(parents=True)
        encrypted(self.old / f"{CODE}_vid.tar.gz.enc", packed(tar(FILES)))
        encrypted(self.old / f"{CODE}_3_0007.avi.enc", AVI)
        (self.old / "edf" / CODE / f"{CODE}_1.edf").write_bytes(b"0       and so on")
        (folder / "password").write_bytes(PASSWORD + b"\n")
        (folder / "password").chmod(0o600)
        place = {"type": "folder", "zone": "inside", "form": "files", "path": str(self.old), "kinds": []}
        values = {**self.lab.config.values, "legacy_password_file": str(folder / "password")}
        values["destinations"] = {**values["destinations"], "old": place}
        self.config = check(values)
        adopt(self.config, self.lab.private, "old")

    def one(self, name: str) -> Adopted:
        return next(one for one in all_adopted(self.lab.paths) if one.old.name == name)

    def asked(self, **words: str) -> set[str]:
        return {one.old.name for one in asked(Config({**self.config.values, **words}), "old")}


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Estate:
    monkeypatch.chdir(tmp_path)
    return Estate(tmp_path)


def test_an_archive_comes_back_without_the_folders_that_led_to_it(estate: Estate) -> None:
    came = restore_old(estate.config, estate.one(f"{CODE}_vid.tar.gz.enc"))
    assert {path.relative_to(came.folder).as_posix(): path.read_bytes() for path in came.folder.rglob("*.*")} == {
        f"{CODE}_3/{Path(path).name}": content for path, content in FILES.items()
    }
    assert len(came.files) == 3
    known = estate.one(f"{CODE}_vid.tar.gz.enc")
    assert known.files is not None
    assert {one["path"] for one in known.files} == {f"{CODE}_3/{Path(path).name}" for path in FILES}
    assert not list(came.folder.parent.parent.rglob("*.partial"))
    again = restore_old(estate.config, known)
    assert again.files == came.files


def test_single_files_come_back_encrypted_or_plain(estate: Estate) -> None:
    clip = restore_old(estate.config, estate.one(f"{CODE}_3_0007.avi.enc"))
    assert (clip.folder / f"{CODE}_3_0007.avi").read_bytes() == AVI
    plain = restore_old(estate.config, estate.one(f"{CODE}_1.edf"))
    assert (plain.folder / f"{CODE}_1.edf").read_bytes() == b"0       and so on"
    assert "never encrypted" in plain.proof


def test_what_is_archived_here_is_recognised_and_what_differs_is_counted(estate: Estate) -> None:
    from ecogvault.manifest import Entry, Manifest, sha256_of

    source = estate.lab.folder / "clip"
    source.write_bytes(AVI)
    manifest = estate.lab.paths.manifest(Unit(CODE, 3, "vid"))
    manifest.parent.mkdir(parents=True)
    Manifest.of(
        [
            Entry(f"vid/{CODE}_3/{CODE}_3_0001.avi", *sha256_of(source)),
            Entry(f"vid/{CODE}_3/{CODE}_3.erd", 3, "ab" * 32),
        ]
    ).write(manifest)
    came = restore_old(estate.config, estate.one(f"{CODE}_vid.tar.gz.enc"))
    assert (came.equal, came.other) == (1, 1)
    assert str(came).startswith("3 files, 1 equal to what is archived here, 1 of a known name but other content; ")


def test_a_wrong_or_open_password_file_opens_nothing(estate: Estate) -> None:
    one = estate.one(f"{CODE}_vid.tar.gz.enc")
    path = Path(str(estate.config["legacy_password_file"]))
    path.chmod(0o644)
    with pytest.raises(BadIdentity, match="may be read by others"):
        restore_old(estate.config, one)
    path.chmod(0o600)
    path.write_text("another\n")
    with pytest.raises(NoCombination):
        restore_old(estate.config, one)
    with pytest.raises(NoCombination):
        restore_old(estate.config, one, root=estate.lab.folder / "modernised")
    assert not (estate.lab.folder / "modernised").exists()
    folders = [path for path in estate.lab.paths.restored.rglob("*") if path.is_dir()]
    assert [path for path in folders if not any(path.iterdir())] == []
    with pytest.raises(ConfigError, match="legacy_password_file is not set"):
        restore_old(check({**estate.config.values, "legacy_password_file": None}), one)
    assert not [path for path in estate.lab.paths.restored.rglob("*") if path.is_file() and "_old" in str(path)]
    assert all_adopted(estate.lab.paths)[0].files is None


def test_subject_kind_and_unit_say_which(estate: Estate) -> None:
    assert estate.asked(subject=CODE) == {f"{CODE}_vid.tar.gz.enc", f"{CODE}_3_0007.avi.enc", f"{CODE}_1.edf"}
    assert estate.asked(subject=CODE, kind="edf") == {f"{CODE}_1.edf"}
    assert estate.asked(unit=f"{CODE}_3_vid") == {f"{CODE}_vid.tar.gz.enc", f"{CODE}_3_0007.avi.enc"}
    assert estate.asked(unit=f"{CODE}_4_vid") == {f"{CODE}_vid.tar.gz.enc"}


def test_results_hold_no_path_that_is_not_coded(estate: Estate) -> None:
    encrypted(estate.old / f"{CODE}_edf.tar.gz.enc", packed(tar({"Blorptwill/notes of Jexamine.txt": b"x" * 600})))
    adopt(estate.config, estate.lab.private, "old")
    restore_old(estate.config, estate.one(f"{CODE}_edf.tar.gz.enc"))
    written = b"".join(path.read_bytes() for path in estate.lab.paths.results.rglob("*") if path.is_file())
    written += b"".join(path.read_bytes() for path in estate.lab.paths.restored.rglob("*.json"))
    assert b"Blorptwill" not in written
    assert b"Jexamine" not in written


# --- modernising ------------------------------------------------------------------------------------------------------


def said(estate: Estate, **words: str) -> list[str]:
    lines: list[str] = []
    values = {**estate.config.values, "modernised": str(estate.lab.folder / "modernised"), **words}
    modernise(check(values), estate.lab.private, say=lines.append)
    return lines


def test_modernising_says_first_what_it_would_fetch_and_opens_nothing(estate: Estate) -> None:
    lines = said(estate)
    assert re.match(r"modernise: 3 old copies wait, [1-9]\d*\.\d\d kB: snakemake modernise --config ", lines[-1])
    assert not (estate.lab.folder / "modernised").exists()
    assert [state.what for state in survey(estate.config)] == ["waits"] * 3


def test_of_the_same_at_several_places_the_cheapest_is_opened_alone(estate: Estate) -> None:
    other = estate.lab.folder / "other"
    other.mkdir()
    encrypted(other / f"{CODE}_vid.tar.gz.enc", packed(tar(FILES)))
    place = {"type": "folder", "zone": "outside", "form": "files", "path": str(other), "kinds": []}
    estate.config = check(
        {**estate.config.values, "destinations": {**estate.config.values["destinations"], "far": place}}
    )
    adopt(estate.config, estate.lab.private, "far")
    assert f"{CODE}: {CODE}_vid.tar.gz.enc at far is not needed: the same is at old" in said(estate)
    restore_old(estate.config, next(one for one in all_adopted(estate.lab.paths, "far")))
    assert f"{CODE}: {CODE}_vid.tar.gz.enc at old is not needed: the same is at far" in said(estate)


def test_what_is_opened_is_registered_as_coded_and_waits_to_be_accepted(estate: Estate) -> None:
    register_existing(estate.lab.private, [(CODE, make_person("Blorptwill", "Jexamine"))])
    lines = said(estate, kind="vid", confirm="yes")
    assert lines[-1] == "modernise: 2 old copies opened, 0 failed"
    assert f"{CODE}: opened and registered; next: ecogvault order {CODE}, then --accept, then snakemake" in lines
    (plan,) = [plan for plan in look(estate.config, estate.lab.private) if plan.code == CODE]
    assert plan.problem is None
    state = next(state for state in survey(estate.config) if state.one.old.archive)
    assert (state.what, state.why) == ("opened", f"3 of its files are not archived yet: ecogvault order {CODE}")


def test_a_code_whose_person_is_not_known_is_opened_and_not_registered(estate: Estate) -> None:
    with pytest.raises(NotModernised):
        said(estate, kind="vid", confirm="yes")
    assert estate.one(f"{CODE}_vid.tar.gz.enc").files is not None
