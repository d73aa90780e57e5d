"""What a restore refuses, and by which name: swapped units, swapped files, forged and replayed statements."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from archive_lab import ArchiveLab
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ecogvault import layout
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.naming import Unit
from ecogvault.records import read_record, record_bytes, with_digest
from ecogvault.reseal import reseal_unit
from ecogvault.restore import NotWhatWasArchived
from ecogvault.statement import StatementError, make_statement, public_text, signing_key
from ecogvault.stores.errors import NotFound
from ecogvault.tarball import WrongUnit


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    monkeypatch.chdir(tmp_path)
    return ArchiveLab(tmp_path).archived()


def tarball(lab: ArchiveLab, unit: Unit, generation: int = 1) -> Path:
    return lab.folder / "deep" / layout.tarball_key(lab.config.destinations["deep"], unit, generation)


def statement(lab: ArchiveLab, unit: Unit, name: str = "deep", generation: int = 1) -> Path:
    return lab.folder / name / layout.statement_key(unit, generation)


def swap(one: Path, other: Path) -> None:
    one_bytes, other_bytes = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_bytes)
    other.write_bytes(one_bytes)


def signed(record: Mapping[str, Any], key: Ed25519PrivateKey, **changes: Any) -> bytes:
    """A statement like `record`, with changes, signed by `key`."""
    said = {**record, **changes}
    rest = {name: said[name] for name in said if name not in ("schema", "signer", "signature", "self_sha256")}
    return record_bytes(make_statement(key=key, **rest))


def refused(lab: ArchiveLab, unit: Unit, name: str, kind: type[EcogvaultError], match: str) -> str:
    """Restore, see that it is refused, and that nothing wrong is there afterwards: at most files that are right."""
    with pytest.raises(kind, match=match) as caught:
        lab.restore(unit, name)
    record = lab.paths.restored_record(name, unit)
    assert not record.exists()
    folder, coded = record.parent / str(unit), lab.paths.subject(unit.code)
    assert [path for path in (folder, *folder.rglob("*")) if path.is_dir() and not any(path.iterdir())] == []
    for path in filter(Path.is_file, folder.rglob("*")):
        assert path.read_bytes() == (coded / path.relative_to(folder)).read_bytes()
    assert lab.copies(unit, name)[max(lab.copies(unit, name))].evidence != "restored"
    return str(caught.value)


@pytest.mark.parametrize("name", ["deep", "nas", "crypt"])
def test_what_was_not_touched_comes_back(lab: ArchiveLab, name: str) -> None:
    found = {path.name: path.read_bytes() for path in lab.restore(lab.units[0], name).rglob("*.avi")}
    assert set(found.values()) == {b"RIFF" + bytes([1, clip]) * 70_000 for clip in (1, 2)}


def test_a_tarball_of_another_unit_is_refused_by_its_key(lab: ArchiveLab) -> None:
    first, second = lab.units
    swap(tarball(lab, first), tarball(lab, second))
    refused(lab, first, "deep", NotWhatWasArchived, f"{first}.g1.tar.zst.age from deep is not the object")
    refused(lab, second, "deep", NotWhatWasArchived, f"{second}.g1.tar.zst.age from deep is not the object")


def test_a_unit_swapped_with_its_statement_is_refused_by_both_names(lab: ArchiveLab) -> None:
    first, second = lab.units
    swap(tarball(lab, first), tarball(lab, second))
    swap(statement(lab, first), statement(lab, second))
    said = refused(lab, first, "deep", StatementError, f"says unit {second} where {first} was asked for")
    assert said.startswith(f"{first.code}/{first}.g1.statement.json at deep: ")


@pytest.mark.parametrize("name", ["nas", "crypt"])
def test_two_files_swapped_within_a_unit_are_refused_by_path(lab: ArchiveLab, name: str) -> None:
    unit = lab.units[0]
    one, other = sorted((lab.folder / name).rglob(f"{unit.session}_000*.avi*"))
    swap(one, other)
    refused(lab, unit, name, NotWhatWasArchived, rf"{unit.session}_000[12]\.avi from {name} is not what its manifest")


@pytest.mark.parametrize("name", ["nas", "crypt"])
def test_a_file_of_another_unit_is_refused_by_path(lab: ArchiveLab, name: str) -> None:
    first, second = lab.units
    one, other = (next((lab.folder / name).rglob(f"{unit.session}_0001.avi*")) for unit in (first, second))
    swap(one, other)
    next((lab.folder / name).rglob(f"{first.session}_0002.avi*")).unlink()  # so that none of the unit is right
    with pytest.raises((NotWhatWasArchived, NotFound), match=f"{first.session}_000[12]"):
        lab.restore(first, name)
    assert not lab.paths.restored_record(name, first).exists()


@pytest.mark.parametrize("name", ["nas", "crypt"])
def test_a_manifest_of_another_unit_is_refused_where_the_local_one_is_lost(lab: ArchiveLab, name: str) -> None:
    first, second = lab.units
    lab.paths.manifest(first).unlink()
    swap(*(lab.folder / name / layout.manifest_key(unit, 1) for unit in (first, second)))
    refused(lab, first, name, NotWhatWasArchived, f"the manifest of {first} at {name} is not the one")


@pytest.mark.parametrize("name", ["deep", "nas", "crypt"])
def test_a_statement_signed_by_a_stranger_is_refused_by_the_signer(lab: ArchiveLab, name: str) -> None:
    unit = lab.units[0]
    stranger = Ed25519PrivateKey.generate()
    path = statement(lab, unit, name)
    path.write_bytes(signed(read_record(path), stranger))
    refused(lab, unit, name, StatementError, f"signed by {public_text(stranger)[:16]}.*not in signers.txt")


def test_a_forged_tarball_with_a_strangers_statement_is_refused(lab: ArchiveLab) -> None:
    first, second = lab.units
    stranger = Ed25519PrivateKey.generate()
    tree = read_record(statement(lab, second))["sha256_tree"]
    shutil.copy(tarball(lab, second), tarball(lab, first))
    path = statement(lab, first)
    path.write_bytes(signed(read_record(path), stranger, sha256_tree=tree))
    refused(lab, first, "deep", StatementError, "not in signers.txt")


@pytest.mark.parametrize("name", ["deep", "nas"])
def test_a_changed_statement_under_a_trusted_signers_name_is_called_forged(lab: ArchiveLab, name: str) -> None:
    unit = lab.units[0]
    path = statement(lab, unit, name)
    path.write_bytes(record_bytes(with_digest({**read_record(path), "sha256_tree": "ab" * 32})))
    refused(lab, unit, name, StatementError, f"{unit}, generation 1, is forged or damaged")
    path.write_bytes(path.read_bytes().replace(b'"form"', b'"from"'))
    refused(lab, unit, name, Damaged, f"{unit}.g1.statement.json at {name}")
    path.unlink()
    refused(lab, unit, name, NotFound, f"{unit}.g1.statement.json")


def test_a_replayed_older_generation_is_called_an_older_one(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=True)
    lab.upload(unit, "deep")
    right = tarball(lab, unit, 2).read_bytes()
    shutil.copy(tarball(lab, unit, 1), tarball(lab, unit, 2))
    refused(lab, unit, "deep", NotWhatWasArchived, f"{unit}.g2.tar.zst.age from deep is not the object")
    shutil.copy(statement(lab, unit, generation=1), statement(lab, unit, generation=2))
    refused(
        lab, unit, "deep", StatementError, "says generation 1 where 2 was asked for: an older one was put in its place"
    )
    tarball(lab, unit, 2).write_bytes(right)
    refused(lab, unit, "deep", StatementError, "an older one")


def test_a_statement_of_the_other_form_is_refused(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    shutil.copy(statement(lab, unit, "nas"), statement(lab, unit, "deep"))
    refused(lab, unit, "deep", StatementError, "says form files where tarball was asked for")


def test_another_unit_under_a_statement_signed_with_the_machines_own_key_is_refused(lab: ArchiveLab) -> None:
    """As somebody could make it who has the signing key: what is inside has the last word."""
    first, second = lab.units
    tree = read_record(statement(lab, second))["sha256_tree"]
    shutil.copy(tarball(lab, second), tarball(lab, first))
    path = statement(lab, first)
    path.write_bytes(signed(read_record(path), signing_key(lab.config.signing_key), sha256_tree=tree))
    refused(lab, first, "deep", WrongUnit, f"holds unit {second}, but {first} was asked for")
