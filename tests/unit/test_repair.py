"""Repairs: a copy that is missing or wrong is replaced from another destination, as it lies there, without a key."""

import shutil
from pathlib import Path

import pytest
from archive_lab import ArchiveLab, rot

from ecogvault import ledger
from ecogvault.config import check
from ecogvault.repair import NotRepaired, broken, repair
from ecogvault.reseal import reseal_unit
from ecogvault.verify import CopiesAreWrong, verify

FORMS = {
    "deep": {"form": "tarball"},
    "vault": {"form": "tarball"},
    "nas": {"form": "files"},
    "disk": {"form": "files"},
    "crypt": {"form": "files", "encrypt": True},
    "safe": {"form": "files", "encrypt": True},
}
PAIRS = [("deep", "vault"), ("nas", "disk"), ("crypt", "safe")]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    """Everything is archived; nothing of it is left here but manifests, verdicts, ledgers, and no secret age key."""
    monkeypatch.chdir(tmp_path)
    made = ArchiveLab(tmp_path, FORMS).archived()
    for unit in made.units:
        made.paths.sealed(unit).unlink()
    for path in [*made.raw.rglob("*"), *(made.paths.subject(made.code) / "vid").rglob("*")]:
        if path.is_file():
            path.unlink()
    (tmp_path / "daily").unlink()
    return made


def found_out(lab: ArchiveLab) -> list[str]:
    """What verify says when it reads everything back."""
    said: list[str] = []
    with pytest.raises(CopiesAreWrong):
        verify(check({**lab.config.values, "rehash_gib": 1}), say=said.append)
    return said


def repaired(lab: ArchiveLab) -> list[str]:
    said: list[str] = []
    try:
        repair(lab.config, lab.private, say=said.append)
    except NotRepaired:
        pytest.fail("\n".join(said))
    return said


@pytest.mark.parametrize(("name", "other"), PAIRS)
@pytest.mark.parametrize("fault", ["missing", "wrong", "overwritten"])
def test_a_bad_copy_is_replaced_by_the_bytes_of_another(lab: ArchiveLab, name: str, other: str, fault: str) -> None:
    unit = lab.units[0]
    bad = lab.largest(unit, name)
    if fault == "missing":
        bad.unlink()
    elif fault == "wrong":
        rot(bad)
    else:
        bad.chmod(0o600)
        bad.write_bytes(b"somebody else's")
    found_out(lab)
    assert [one for one, _ in broken(lab.config, name)[0]] == [unit]
    said = repaired(lab)
    assert f"{name}: {unit} is replaced from {other}" in said
    assert bad.read_bytes() == lab.largest(unit, other).read_bytes()
    assert broken(lab.config, name) == ([], [])
    kept = lab.folder / name / "superseded" / "g1" / bad.relative_to(lab.folder / name)
    assert kept.exists() == (fault != "missing")  # nothing is lost by a repair, whoever wrote it
    receipt = ledger.read_receipt(lab.paths.receipt(name, unit))
    assert (receipt["evidence"], receipt["generation"]) == ("acknowledged", 1)
    again: list[str] = []
    verify(check({**lab.config.values, "rehash_gib": 1}), say=again.append)
    assert repaired(lab)[0] == "deep: 0 copies repaired, 0 bytes sent"


@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_a_copy_that_is_wrong_too_does_not_spread_and_is_found_out(lab: ArchiveLab, name: str, other: str) -> None:
    unit = lab.units[0]
    gone, rotten = lab.largest(unit, name), lab.largest(unit, other)
    gone.unlink()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)  # a listing: what is rotten there is still of its size
    rot(rotten)
    said: list[str] = []
    with pytest.raises(NotRepaired, match="2 copies are not repaired"):
        repair(lab.config, lab.private, say=said.append)
    assert any("is not what was archived" in line for line in said)
    assert not gone.exists()
    assert lab.copies(unit, other)[1].fault == "wrong"


def test_nothing_is_done_for_a_copy_that_could_not_be_asked_about(lab: ArchiveLab) -> None:
    away = lab.folder / "deep"
    away.rename(lab.folder / "away")
    said = found_out(lab)
    assert any(line.startswith("deep: could not be asked") for line in said)
    assert broken(lab.config, "deep") == ([], [])
    assert all("0 copies repaired" in line for line in repaired(lab))


@pytest.mark.parametrize("fault", ["missing", "overwritten"])
@pytest.mark.parametrize("resealed", [False, True])
def test_a_tarball_that_is_sealed_anew_for_a_lost_one_comes_with_its_own_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, resealed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = ArchiveLab(tmp_path, {"deep": {"form": "tarball"}}).archived()
    unit = lab.units[0]
    if resealed:
        reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=True)
        lab.upload(unit, "deep")
    bad = lab.largest(unit, "deep")
    if fault == "missing":
        bad.unlink()
    else:
        bad.chmod(0o600)
        bad.write_bytes(b"somebody else's")
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    lab.paths.sealed(unit).unlink()
    lab.seal(unit)
    lab.upload(unit, "deep")
    lab.restore(unit, "deep")
    verify(check({**lab.config.values, "rehash_gib": 1}), say=lambda line: None)


def test_verify_fails_until_what_it_found_is_mended(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    lab.largest(unit, "deep").unlink()
    for again in (False, True):
        said: list[str] = []
        with pytest.raises(CopiesAreWrong, match="not all is well at deep"):
            verify(lab.config, say=said.append)
        assert (" is missing (found 20" in said[0]) == again
        assert f"{unit}.g1.tar.zst.age is missing" in said[0]
    repaired(lab)
    verify(lab.config, say=said.append)


def test_a_tarball_from_elsewhere_that_is_another_ciphertext_brings_its_own_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = ArchiveLab(tmp_path, {"deep": {"form": "tarball"}, "vault": {"form": "tarball"}})
    unit = lab.units[0]
    lab.make(unit)
    lab.upload(unit, "deep")
    lab.paths.sealed(unit).unlink()
    lab.seal(unit)
    lab.upload(unit, "vault")
    bad, good = lab.largest(unit, "deep"), lab.largest(unit, "vault")
    assert bad.read_bytes() != good.read_bytes()
    bad.unlink()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    repaired(lab)
    assert bad.read_bytes() == good.read_bytes()
    lab.restore(unit, "deep")


def two_ciphertexts(tmp_path: Path) -> ArchiveLab:
    """One unit as a tarball at two places, sealed twice, and no tarball of it here."""
    lab = ArchiveLab(tmp_path, {"deep": {"form": "tarball"}, "vault": {"form": "tarball"}})
    unit = lab.units[0]
    lab.make(unit)
    for name in ("deep", "vault"):
        lab.upload(unit, name)
        lab.paths.sealed(unit).unlink()
        lab.seal(unit)
    lab.paths.sealed(unit).unlink()
    assert lab.largest(unit, "deep").read_bytes() != lab.largest(unit, "vault").read_bytes()
    return lab


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_statement_alone_that_was_lost_is_put_back_whatever_ciphertext_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = two_ciphertexts(tmp_path)
    unit = lab.units[0]
    tarball = lab.largest(unit, "deep").read_bytes()
    next((tmp_path / "deep").rglob("*.statement.json")).unlink()
    if not elsewhere:
        shutil.rmtree(tmp_path / "vault")
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    assert f"deep: {unit} is replaced from what is known here" in repaired(lab)
    assert lab.largest(unit, "deep").read_bytes() == tarball
    lab.restore(unit, "deep")


def test_a_damaged_ledger_keeps_no_other_copy_from_being_repaired(lab: ArchiveLab) -> None:
    first, second = lab.units
    lab.largest(second, "deep").unlink()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    rot(lab.paths.ledger("deep", first))
    said: list[str] = []
    with pytest.raises(NotRepaired):
        repair(lab.config, lab.private, say=said.append)
    assert f"deep: {second} is replaced from vault" in said
    assert any(f"{first}.jsonl" in line for line in said)


def test_what_cannot_be_sent_as_it_is_is_said_to_be_elsewhere(lab: ArchiveLab) -> None:
    unit = lab.units[0]
    for name in ("crypt", "safe"):
        lab.largest(unit, name).unlink()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)
    said: list[str] = []
    with pytest.raises(NotRepaired):
        repair(lab.config, lab.private, say=said.append)
    (line,) = [one for one in said if one.startswith("crypt: 0 copies repaired")]
    assert "a copy of it is at deep, vault, nas, disk" in line


def test_a_repair_that_was_interrupted_before_the_statement_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = two_ciphertexts(tmp_path)
    unit = lab.units[0]
    lab.largest(unit, "deep").unlink()
    with pytest.raises(CopiesAreWrong):
        verify(lab.config, say=lambda line: None)

    def killed(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ecogvault.send.relay.put_statement", killed)
        with pytest.raises(KeyboardInterrupt):
            repair(lab.config, lab.private, say=lambda line: None)
    # Also where private/ is from before the statement of that ciphertext was made.
    (lab.private.root / unit.code / "statements.jsonl").unlink()
    assert f"deep: {unit} is replaced from vault" in repaired(lab)
    lab.restore(unit, "deep")
