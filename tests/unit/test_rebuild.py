"""Ledgers that were lost are made anew from folders; see test_vault_inventories for vaults."""

import json
import shutil
from collections.abc import Iterator

import pytest
from archive_lab import FORMS, ArchiveLab

from ecogvault.manifest import Manifest, sha256_of
from ecogvault.rebuild import rebuild


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> ArchiveLab:
    return ArchiveLab(tmp_path_factory.mktemp("lab")).archived()


@pytest.fixture
def lab(archived: ArchiveLab) -> Iterator[ArchiveLab]:
    """A lab whose ledgers are lost; they are back for the next test."""
    kept = archived.folder / "ledgers"
    (folder,) = archived.paths.results.glob("*/ledger")
    shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    yield archived
    shutil.rmtree(folder, ignore_errors=True)
    kept.rename(folder)


def rebuilt(lab: ArchiveLab, name: str) -> str:
    said: list[str] = []
    assert rebuild(lab.config, name, say=said.append) is None
    return said[0]


@pytest.mark.parametrize("name", sorted(FORMS))
def test_copies_are_known_again_and_come_back_and_a_second_time_nothing_is_new(lab: ArchiveLab, name: str) -> None:
    assert rebuilt(lab, name) == f"{name}: 2 copies entered in ledgers, 0 known before"
    for unit in lab.units:
        assert lab.copies(unit, name)[1].evidence == "listed"
        folder = lab.restore(unit, name)
        for entry in Manifest.read(lab.paths.manifest(unit)):
            assert sha256_of(folder / entry.path) == (entry.size, entry.sha256)
        assert "nothing was sent" in lab.upload(unit, name).note
    assert rebuilt(lab, name) == f"{name}: 0 copies entered in ledgers, 2 known before"
    shutil.rmtree(lab.paths.restored)


def test_what_was_not_signed_by_a_trusted_key_or_is_not_all_there_is_left_alone_by_name(lab: ArchiveLab) -> None:
    first, second = lab.units
    deep, nas = lab.folder / "deep", lab.folder / "nas"
    statement = deep / first.code / f"{first}.g1.statement.json"
    tarball = deep / second.code / f"{second}.g1.tar.zst.age"
    clip = sorted(nas.rglob(f"{second.session}_*.avi"))[0]
    kept = {path: path.read_bytes() for path in (statement, tarball, clip)}
    try:
        changed = json.loads(kept[statement]) | {"generation": 7}
        statement.write_text(json.dumps(changed))
        tarball.unlink()
        line = rebuilt(lab, "deep")
        assert line.startswith("deep: 0 copies entered in ledgers, 0 known before; 2 left alone: ")
        assert f"{first}.g1.statement.json: " in line
        assert f"{second}.g1.statement.json: its tarball is not there" in line
        clip.unlink()
        line = rebuilt(lab, "nas")
        assert line.startswith("nas: 1 copies entered in ledgers, 0 known before; 1 left alone: ")
        assert "_0001.avi is not there" in line
    finally:
        for path, data in kept.items():
            path.write_bytes(data)


def test_what_was_overwritten_is_entered_as_wrong_and_put_right_by_the_next_upload(lab: ArchiveLab) -> None:
    """The signed statement is still beside it; nothing may count it as a copy for that."""
    first, second = lab.units
    tarball = lab.folder / "deep" / first.code / f"{first}.g1.tar.zst.age"
    clip = sorted((lab.folder / "nas").rglob(f"{second.session}_*.avi"))[0]
    sealed = sorted((lab.folder / "crypt").rglob(f"{second.session}_*.avi.age"))[0]
    kept = {path: path.read_bytes() for path in (tarball, clip, sealed)}
    for name, unit, path in (("deep", first, tarball), ("nas", second, clip), ("crypt", second, sealed)):
        path.chmod(0o600)
        path.write_bytes(kept[path][:100])
        line = rebuilt(lab, name)
        assert line.startswith(f"{name}: 2 copies entered in ledgers")
        assert f"{path.relative_to(lab.folder / name)}: not what the statement describes, entered as wrong" in line
        assert lab.copies(unit, name)[1].fault == "wrong"
        lab.upload(unit, name)
        assert (path.read_bytes() == kept[path]) == (name != "crypt")  # encrypted anew, it is another ciphertext
        lab.restore(unit, name)
        assert lab.copies(unit, name)[1].evidence == "restored"
