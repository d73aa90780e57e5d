"""A unit's raw files become coded files and a manifest; nothing of the raw export changes. All names made up."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from intake_lab import NAME, OTHER, Lab

from ecogvault import edf
from ecogvault.deidentify import NotThePerson, deidentify, ensure_tree
from ecogvault.errors import EcogvaultError
from ecogvault.intake.assignment import read_units
from ecogvault.intake.slip import RawChanged, read_names
from ecogvault.manifest import FileChanged, Manifest, check
from ecogvault.naming import Unit
from ecogvault.records import read_record
from ecogvault.workflow import Plan
from ecogvault.workflow.told import waiting

VTC = "\n" * 10 + "Quellmotz 1_0001.avi [03/03/2002 01:05:12.000]\n"


def raw_facts(lab: Lab) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in sorted(lab.raw.rglob("*")):
        status = path.stat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_gid, status.st_uid, status.st_mtime_ns, data)
    return found


def make(lab: Lab, unit: Unit) -> tuple[Manifest, list[str]]:
    """Order and de-identify one unit, as the rules do."""
    slip = lab.slip(unit, lab.frozen()[unit])
    target = lab.paths.manifest(unit)
    target.parent.mkdir(parents=True, exist_ok=True)
    remarks = deidentify(lab.config, lab.private, unit, slip, target)
    manifest = Manifest.read(target)
    check(lab.paths.subject(lab.code), manifest)
    assert not NAME.search(" ".join(remarks))
    return manifest, remarks


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path)
    lab.edf("Quellmotz 1.edf")
    (lab.session("Quellmotz 1") / "Quellmotz report.doc").write_bytes(b"report")
    (lab.raw / "Quellmotz 1_vtc.txt").write_text(VTC)
    return lab


@pytest.mark.parametrize(
    ("kind", "paths"),
    [
        ("edf", ["edf/{s}.edf"]),
        ("vid", [f"vid/{{s}}/{{s}}{tail}" for tail in (".eeg", "_0000.avi", "_0001.avi", "_x001.doc")]),
        ("sync", ["vtc/{s}.txt"]),
    ],
)
def test_each_kind_comes_under_coded_names_with_the_configured_modes(lab: Lab, kind: str, paths: list[str]) -> None:
    before = raw_facts(lab)
    unit = lab.unit(1, kind)
    manifest, remarks = make(lab, unit)
    assert [entry.path for entry in manifest] == [path.format(s=unit.session) for path in paths]
    assert remarks[-1].endswith("generation 1")
    root = lab.paths.subject(lab.code)
    for entry in manifest:
        assert stat.S_IMODE((root / entry.path).stat().st_mode) == 0o640
        assert stat.S_IMODE((root / entry.path).parent.stat().st_mode) == 0o750
    assert stat.S_IMODE(root.stat().st_mode) == 0o750
    assert raw_facts(lab) == before
    assert read_units(lab.paths, lab.code)[unit].manifest_sha256 == manifest.sha256


@pytest.mark.parametrize("kind", ["edf", "vid", "sync"])
def test_doing_it_again_gives_the_same_content_and_generation(lab: Lab, kind: str) -> None:
    unit = lab.unit(1, kind)
    first, _ = make(lab, unit)
    again, remarks = make(lab, unit)
    assert again == first
    assert remarks[-1].endswith("generation 1")


def test_another_content_is_another_generation_and_leaves_nothing_of_the_old(lab: Lab) -> None:
    unit = lab.unit(1, "vid")
    make(lab, unit)
    (lab.raw / "Quellmotz 1" / "Quellmotz report.doc").unlink()
    manifest, remarks = make(lab, unit)
    assert remarks[-1].endswith("generation 2")
    here = {str(path.relative_to(lab.paths.subject(lab.code))) for path in lab.paths.subject(lab.code).rglob("*.*")}
    assert {path for path in here if path.startswith("vid/")} == {entry.path for entry in manifest}


@pytest.mark.parametrize("kind", ["edf", "vid", "sync"])
def test_coded_files_that_are_gone_are_made_again_equal(lab: Lab, kind: str) -> None:
    unit = lab.unit(1, kind)
    manifest, _ = make(lab, unit)
    root = lab.paths.subject(lab.code)
    for entry in manifest:
        (root / entry.path).unlink()
    ensure_tree(lab.config, lab.private, unit, manifest)
    check(root, manifest)


def test_coded_files_that_would_be_other_ones_now_are_refused(lab: Lab) -> None:
    unit = lab.unit(1, "sync")
    manifest, _ = make(lab, unit)
    (lab.paths.subject(lab.code) / manifest.entries[0].path).unlink()
    (lab.raw / "Quellmotz 1_vtc.txt").write_text(VTC + VTC.strip() + "\n")
    with pytest.raises(FileChanged, match=str(unit)):
        ensure_tree(lab.config, lab.private, unit, manifest)


def test_what_was_changed_can_be_undone_from_the_private_record(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    manifest, _ = make(lab, unit)
    coded = bytearray((lab.paths.subject(lab.code) / manifest.entries[0].path).read_bytes())
    for name in read_names(lab.paths, unit):
        if name.offset:
            original = bytes.fromhex(name.original)
            coded[int(name.offset) : int(name.offset) + len(original)] = original
    assert coded == (lab.raw / "Quellmotz 1.edf").read_bytes()


@pytest.mark.parametrize("kind", ["edf", "vid"])
def test_what_names_another_person_by_now_is_refused_by_unit(lab: Lab, kind: str) -> None:
    unit = lab.unit(1, kind)
    lab.frozen()
    if kind == "edf":
        lab.edf("Quellmotz 1.edf", patient="77 M X Trellwick_Hask")
    else:
        other = lab.session("elsewhere", datetime(2002, 3, 2, tzinfo=UTC), person=OTHER)
        (other / "elsewhere.eeg").rename(lab.raw / "Quellmotz 1" / "Quellmotz 1_001.erd")
        for path in other.iterdir():
            path.unlink()
        other.rmdir()
    with pytest.raises(NotThePerson) as caught:
        make(lab, unit)
    assert str(unit) in str(caught.value)
    assert not NAME.search(str(caught.value))
    assert not lab.paths.manifest(unit).exists()


def test_a_raw_file_that_is_gone_is_named_by_its_coded_path(lab: Lab) -> None:
    unit = lab.unit(1, "vid")
    slip = lab.slip(unit, lab.frozen()[unit])
    (lab.raw / "Quellmotz 1" / "Quellmotz 1_0001.avi").unlink()
    with pytest.raises(RawChanged, match=rf"vid/{unit.session}/{unit.session}_0001\.avi") as caught:
        deidentify(lab.config, lab.private, unit, slip, lab.paths.manifest(unit))
    assert not NAME.search(str(caught.value))


def test_a_truncated_recording_leaves_nothing_behind(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    path = lab.raw / "Quellmotz 1.edf"
    lab.frozen()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(EcogvaultError, match="truncated") as caught:
        make(lab, unit)
    assert not NAME.search(str(caught.value))
    assert list((lab.paths.subject(lab.code) / "edf").iterdir()) == []
    assert not lab.paths.manifest(unit).exists()


def test_a_killed_runs_leftovers_are_cleared(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    folder = lab.paths.subject(lab.code) / "edf"
    folder.mkdir(parents=True)
    leftover = folder / f".{unit.session}.edf.01234567.part~"
    leftover.write_bytes(b"half")
    make(lab, unit)
    assert os.listdir(folder) == [f"{unit.session}.edf"]


def test_what_was_met_and_done_stands_in_the_record_without_any_content(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    path = lab.raw / "Quellmotz 1.edf"
    path.write_bytes(path.read_bytes().replace(b"02.03.02", b"02/03/02", 1)[:-1])
    make(lab, unit)
    record = read_record(lab.paths.record(unit))
    assert record["policy"] == {"name": "lab", "digest": edf.shipped("lab").digest}
    assert {"field": "local_patient_identification", "signal": None, "offset": 8, "length": 80} in record["changes"]
    assert [(one["field"], one["what"], one["mended"]) for one in record["deviations"]] == [
        ("file", "its last data record is cut short by 1 bytes", False),
        ("startdate", "it is not written as dd.mm.yy", False),
    ]
    assert not NAME.search(lab.paths.record(unit).read_text())
    assert stat.S_IMODE(lab.paths.record(unit).stat().st_mode) == 0o640


def test_the_configured_policy_is_what_recordings_are_made_by(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    limited = replace(lab.config, values={**lab.config.values, "policy": "limited-dataset"})
    slip = lab.slip(unit, lab.frozen()[unit])
    lab.paths.manifest(unit).parent.mkdir(parents=True, exist_ok=True)
    deidentify(limited, lab.private, unit, slip, lab.paths.manifest(unit))
    coded = lab.paths.subject(lab.code) / "edf" / f"{unit.session}.edf"
    assert edf.identification(coded).patient_field == f"{lab.code} F X X"
    make(lab, unit)
    assert edf.identification(coded).patient_field == f"{lab.code} X X X"


def test_a_recording_whose_raw_file_is_gone_keeps_the_policy_that_it_was_made_by(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    make(lab, unit)
    limited = replace(lab.config, values={**lab.config.values, "policy": "limited-dataset"})
    digest = {name: edf.shipped(name).digest for name in ("lab", "limited-dataset")}

    def asked() -> tuple[str, list[Unit], str]:
        made = Plan(limited, lab.private, (lab.look(),))
        return made.policy(lab.code, "1", "edf"), made.outdated, " ".join(waiting(made))

    policy, outdated, told = asked()
    assert (policy, outdated) == (digest["limited-dataset"], [])
    assert "policy" not in told
    (lab.raw / "Quellmotz 1.edf").unlink()
    policy, outdated, told = asked()
    assert (policy, outdated) == (digest["lab"], [unit])
    assert f"1 recordings of {lab.code} keep the policy and the redactions that they were made by" in told


def test_a_raised_format_makes_recordings_anew_only_where_the_raw_file_is(lab: Lab) -> None:
    unit = lab.unit(1, "edf")
    make(lab, unit)
    planned = Plan(lab.config, lab.private, (lab.look(),))
    assert [planned.format(lab.code, "1", "edf", form) for form in (1, 2)] == [1, 2]
    (lab.raw / "Quellmotz 1.edf").unlink()
    assert planned.format(lab.code, "1", "edf", 2) == 1


@pytest.mark.parametrize("kind", ["vid", "sync"])
def test_what_was_archived_gets_its_manifest_back_though_its_raw_files_are_gone(lab: Lab, kind: str) -> None:
    unit = lab.unit(1, kind)
    before, _ = make(lab, unit)
    target = lab.paths.manifest(unit)
    slip = lab.slip(unit, lab.frozen()[unit])
    for path in sorted(lab.raw.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    generation = read_units(lab.paths, lab.code)[unit].generation
    target.unlink()  # as Snakemake does before a job
    (remark,) = deidentify(lab.config, lab.private, unit, slip, target)
    assert "stay as they were archived" in remark
    assert Manifest.read(target) == before
    assert read_units(lab.paths, lab.code)[unit].generation == generation

    # What is no longer what was archived is not taken for it.
    target.unlink()
    changed = lab.paths.subject(lab.code) / before.entries[0].path
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.chmod(0o600)
    changed.unlink()
    changed.write_bytes(data)
    with pytest.raises(RawChanged):
        deidentify(lab.config, lab.private, unit, slip, target)
    assert not target.exists()
