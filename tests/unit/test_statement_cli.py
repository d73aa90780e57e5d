"""`ecogvault statement verify`: what it believes, and what it refuses by name."""

import shutil
from pathlib import Path

import pytest
from archive_lab import ArchiveLab
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ecogvault import chain, layout
from ecogvault.cli import main
from ecogvault.naming import Unit
from ecogvault.records import FIRST, read_record, write_record
from ecogvault.reseal import reseal_unit
from ecogvault.statement import make_statement, pin_signer, public_text


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    monkeypatch.chdir(tmp_path)
    return ArchiveLab(tmp_path).archived()


def run(lab: ArchiveLab, *words: object) -> int:
    return main(["--config", str(lab.config_file), "statement", "verify", *map(str, words)])


def at(lab: ArchiveLab, unit: Unit, name: str = "deep", generation: int = 1) -> Path:
    return lab.folder / name / layout.statement_key(unit, generation)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_a_right_statement_is_shown_with_whom_it_is_for(lab: ArchiveLab, capsys: pytest.CaptureFixture[str]) -> None:
    unit = lab.units[0]
    tarball = lab.paths.sealed(unit)
    assert run(lab, at(lab, unit), "--tarball", tarball, "--unit", unit) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{unit}, generation 1, form tarball, 20")
    assert "signers.txt lists" in lines[1]
    assert lines[2].endswith("of 2 in this machine's chain")
    assert "line 2: daily (daily)" in lines[3]
    assert "line 4: escrow (escrow)" in lines[4]
    assert lines[5] == f"{tarball.name} is the sealed tarball that it describes"
    assert run(lab, lab.paths.statement(unit)) == 0
    assert run(lab, at(lab, unit, "nas")) == 0


def test_a_list_of_signers_that_is_not_there_is_named_with_its_key_and_the_way_out(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    signers = lab.config.path("signers")
    signers.rename(signers.with_name("elsewhere.txt"))
    assert run(lab, at(lab, lab.units[0])) == 1
    error = said(capsys)
    assert f"signers: there is no file {signers}: " in error
    assert "copy it from the archive machine" in error


def test_another_tarball_or_a_flipped_byte_is_refused_by_name(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = lab.units
    assert run(lab, at(lab, first), "--tarball", lab.paths.sealed(second)) == 1
    assert f"{second}.tar.zst.age is not the sealed tarball that the statement of {first}" in said(capsys)
    data = lab.paths.sealed(first).read_bytes()
    lab.paths.sealed(first).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert run(lab, at(lab, first), "--tarball", lab.paths.sealed(first)) == 1
    assert "damaged" in said(capsys)
    assert run(lab, at(lab, first, "nas"), "--tarball", lab.paths.sealed(first)) == 1
    assert "of a set of files" in said(capsys)


def test_what_the_file_is_called_is_what_it_must_say(lab: ArchiveLab, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = lab.units
    shutil.copy(at(lab, second), at(lab, first))
    assert run(lab, at(lab, first)) == 1
    assert f"says unit {second} where {first} was asked for" in said(capsys)
    plain = lab.folder / "any.json"
    shutil.copy(at(lab, second), plain)
    assert run(lab, plain) == 0
    assert run(lab, plain, "--unit", first) == 1


def test_a_replayed_older_one_is_called_so_unless_it_was_asked_for(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = lab.units[0]
    assert run(lab, at(lab, unit)) == 0
    reseal_unit(lab.config, lab.private, unit, [lab.keys["daily"]], new_file_key=True)
    assert run(lab, at(lab, unit)) == 1
    assert "an older one: generation 2 of form tarball replaced it" in said(capsys)
    shutil.copy(at(lab, unit), at(lab, unit, generation=2))
    assert run(lab, at(lab, unit, generation=2)) == 1
    assert "an older one was put in its place" in said(capsys)
    assert run(lab, at(lab, unit), "--generation", 1) == 0
    assert run(lab, lab.paths.statement(unit), "--tarball", lab.paths.sealed(unit)) == 0
    assert run(lab, at(lab, unit, "nas")) == 0  # a reseal replaces no statement of a set of files


def test_strangers_forgers_and_breaks_in_the_chain_are_told_apart(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = lab.units[0]
    path = at(lab, unit)
    right = read_record(path)
    stranger = Ed25519PrivateKey.generate()
    names = ("unit", "generation", "form", "manifest_sha256", "sha256_tree", "recipients", "at", "previous")
    values = {name: right[name] for name in names}
    write_record(path, make_statement(key=stranger, **values))
    assert run(lab, path) == 1
    assert "not in signers.txt" in said(capsys)
    pin_signer(lab.folder / "signers.txt", public_text(stranger))
    assert run(lab, path) == 1
    assert "not one of the 2 that this machine's chain knows" in said(capsys)
    write_record(path, {**right, "at": "2020-01-01T00:00:00Z"})
    assert run(lab, path) == 1
    assert "forged or damaged" in said(capsys)
    astray = make_statement(key=stranger, **{**values, "previous": "ab" * 32})
    write_record(path, astray)
    chain.keep(lab.private, unit, read_record(path))
    assert run(lab, path) == 1
    assert "follows a statement that does not stand before it" in said(capsys)


def test_statements_that_were_made_side_by_side_are_both_believed(lab: ArchiveLab, tmp_path: Path) -> None:
    unit = lab.units[0]
    right = read_record(at(lab, unit))
    assert right["previous"] == FIRST
    journal = lab.private.root / unit.code / "statements.jsonl"
    assert len(chain.statements(lab.private, unit)) == 2
    assert journal.exists()
    from ecogvault.statement import signing_key

    names = ("unit", "generation", "manifest_sha256", "sha256_tree", "recipients", "at", "previous")
    beside = make_statement(key=signing_key(lab.config.signing_key), form="files", **{n: right[n] for n in names})
    write_record(tmp_path / "beside.json", beside)
    chain.keep(lab.private, unit, beside)
    assert run(lab, tmp_path / "beside.json") == 0


def test_a_machine_without_a_private_folder_checks_the_signature_alone(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.config.private.rename(lab.folder / "elsewhere")
    assert run(lab, at(lab, lab.units[0])) == 0
    assert "not checked: this machine has no private folder" in capsys.readouterr().out
