"""The scan of a unit, its verdict, and what the gate lets through."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from ecogvault.errors import Damaged
from ecogvault.naming import Unit
from ecogvault.person import Person
from ecogvault.phi import (
    Changed,
    Finding,
    Names,
    Refused,
    Verdict,
    content_id,
    decide,
    identifiers_hash,
    permits,
    read_verdict,
    require_current,
    scan_file,
    scan_unit,
    write_verdict,
)
from ecogvault.phi.patterns import Region
from ecogvault.phi.regions import edf_regions, header_length, regions_of
from ecogvault.phi.verdict import KEPT, PATTERNS

UNIT = Unit("df5c5206", 3, "edf")
PERSON = Person("Quillavan", "Ed", (), "0048213", "2026-03-02")
OTHER = Person("Zurovel", "Ada", (), "9911223", "2026-03-03")
SHA = "0" * 64
KEY = bytes(range(32))


def recording(patient: bytes = b"df5c5206 X X X", samples: bytes = bytes(4000), signals: int = 2) -> bytes:
    """A recording as far as the scan looks at it: 256 bytes, 256 for each signal, samples."""
    fixed = b"0".ljust(8) + patient.ljust(80) + b"Startdate 03-MAR-2026 X X X".ljust(80) + b"03.03.26" + b"01.02.03"
    fixed += str(256 * (signals + 1)).encode().ljust(8) + b"EDF+C".ljust(44) + b"1".ljust(8) * 2
    return fixed + str(signals).encode().ljust(4) + b"EEG Ref1".ljust(16) + bytes(256 * signals - 16) + samples


def verdict(
    folder: Path, data: bytes, *, contents: bool = True, coded: str = "edf/df5c5206_3.edf", **more: object
) -> Verdict:
    path = folder / "file"
    path.write_bytes(data)
    given = {"keys": [], "everyone": [OTHER, PERSON], "manifest_sha256": SHA, "identifiers": "f" * 24, "key": KEY}
    given |= {"person": PERSON}
    return scan_unit(unit=UNIT, files=[(coded, path)], contents=contents, **(given | more))  # type: ignore[arg-type]


def test_a_clean_recording_has_a_clean_verdict(tmp_path: Path) -> None:
    found = verdict(tmp_path, recording(), keys=["df5c5206_edf/df5c5206_3.edf", "edf/df5c5206/df5c5206_3.edf"])
    assert (found.outcome, found.count, found.findings) == ("clean", 0, ())
    permits(found, leaves_plain_outside=True)


@pytest.mark.parametrize("name", [b"Quillavan", b"X Zurovel X", b"MRN 9911223", b"02-MAR-2026", b"ada"])
def test_a_name_of_anybody_registered_in_a_header_blocks_everywhere(tmp_path: Path, name: bytes) -> None:
    for contents in (False, True):
        found = verdict(tmp_path, recording(patient=name), contents=contents)
        assert found.outcome == "block"
        assert found.findings[0].place == "header"
        assert 8 <= found.findings[0].offset < 88
        for plain in (False, True):
            with pytest.raises(Refused, match="refused everywhere") as refusal:
                permits(found, leaves_plain_outside=plain)
            assert "edf/df5c5206_3.edf, header, offset" in str(refusal.value)
            assert not any(part in str(refusal.value).lower() for part in ("quillavan", "zurovel", "9911223", "ada"))


def test_a_birth_date_that_the_policy_keeps_is_no_finding_in_the_patient_field_alone(tmp_path: Path) -> None:
    kept = recording(patient=b"df5c5206 F 02-MAR-2026 X")
    assert verdict(tmp_path, kept).outcome == "block"
    assert verdict(tmp_path, kept, keeps_birth_date=True).outcome == "clean"
    elsewhere = kept.replace(b"EEG Ref1        ", b"born 02-MAR-2026", 1)
    named = recording(patient=b"df5c5206 F 02-MAR-2026 Quillavan")
    for data, kind in ((elsewhere, "birth_date"), (named, "surname")):
        found = verdict(tmp_path, data, keeps_birth_date=True)
        assert (found.outcome, [one.kind for one in found.findings]) == ("block", [kind])


def test_the_start_of_a_recording_is_not_another_persons_birth_date(tmp_path: Path) -> None:
    assert OTHER.birth_date == "2026-03-03"
    assert verdict(tmp_path, recording()).outcome == "clean"


def test_a_name_behind_the_first_256_bytes_of_the_header_blocks(tmp_path: Path) -> None:
    data = bytearray(recording(signals=40))
    data[9000:9009] = b"quillavan"
    found = verdict(tmp_path, bytes(data), contents=False)
    assert [(f.place, f.offset) for f in found.findings] == [("header", 9000)]
    data[184:192] = b"256     "  # a wrong length field hides no header: the number of signals says the same
    assert verdict(tmp_path, bytes(data), contents=False).outcome == "block"


def test_a_name_in_samples_is_for_review_and_stays_inside(tmp_path: Path) -> None:
    found = verdict(tmp_path, recording(samples=bytes(3_000_000) + b"QUILLAVAN" + bytes(100)))
    assert (found.outcome, found.count) == ("review", 1)
    content = content_id(KEY, "surname", "QUILLAVAN")
    expected = Finding("edf/df5c5206_3.edf", "contents", 768 + 3_000_000, "surname", "ascii", content)
    assert found.findings == (expected,)
    permits(found, leaves_plain_outside=False)
    with pytest.raises(Refused, match="contents, offset 3000768"):
        permits(found, leaves_plain_outside=True)


def test_contents_are_looked_at_for_this_person_only_and_when_asked(tmp_path: Path) -> None:
    assert verdict(tmp_path, recording(samples=b"..Zurovel..")).outcome == "clean"
    unseen = verdict(tmp_path, recording(samples=b"..Quillavan.."), contents=False)
    assert unseen.outcome == "clean"
    permits(unseen, leaves_plain_outside=False)
    with pytest.raises(Refused, match="never scanned"):
        permits(unseen, leaves_plain_outside=True)


def test_text_files_are_looked_at_for_short_names_too(tmp_path: Path) -> None:
    assert verdict(tmp_path, b"video of Ed, 1\n", coded="vtc/df5c5206_3.txt").outcome == "review"
    assert verdict(tmp_path, b"video of Ed, 1\n", coded="vid/df5c5206_3/df5c5206_3_0001.avi").outcome == "clean"
    assert verdict(tmp_path, b"df5c5206_3_0001.avi edited\n", coded="vtc/df5c5206_3.txt").outcome == "clean"


def test_a_name_in_a_path_or_key_blocks_and_is_called_by_its_number(tmp_path: Path) -> None:
    found = verdict(tmp_path, recording(samples=b"quillavan"), coded="edf/Zurovel_3.edf", keys=["a", "b/ed/ADA_1"])
    assert found.outcome == "block"
    assert {(f.path, f.place) for f in found.findings} == {
        ("path number 1", "path"),
        ("key number 2", "key"),
        ("path number 1", "contents"),
    }
    assert [f.offset for f in found.findings if f.place == "key"] == [2, 5]
    with pytest.raises(Refused) as refusal:
        permits(found, leaves_plain_outside=False)
    assert "and 3 more" in str(refusal.value)


def test_a_person_who_is_not_in_the_registry_yet_is_looked_for_all_the_same(tmp_path: Path) -> None:
    assert verdict(tmp_path, recording(patient=b"Quillavan"), everyone=[]).outcome == "block"


def test_a_hundred_different_findings_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    different = b"".join(b"quillavan %d\n" % number for number in range(1000))
    found = verdict(tmp_path, different, coded="vtc/df5c5206_3.txt")
    assert (len(found.findings), found.count) == (KEPT, 1000)
    mixed = verdict(tmp_path, recording(patient=b"Zurovel", samples=different))
    assert (mixed.outcome, mixed.findings[0].place, mixed.count) == ("block", "header", 1001)


def test_the_same_words_again_are_the_same_finding(tmp_path: Path) -> None:
    found = verdict(tmp_path, b"quillavan is here\n" * 1000 + b"is quillavan here?\n", coded="vtc/df5c5206_3.txt")
    assert [(f.offset, f.times) for f in found.findings] == [(0, 1000), (18_003, 1)]
    assert found.count == 1001
    assert found.findings[0].content == content_id(KEY, "surname", "quillavan is here")


def test_a_file_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    data = recording(samples=bytes(2_500_000))
    coded = "edf/df5c5206_3.edf"
    seen: list[int] = []
    digest = hashlib.sha256(data).hexdigest()
    assert verdict(tmp_path, data, expected={coded: digest}, progress=seen.append).outcome == "clean"
    assert sum(seen) == len(data)
    with pytest.raises(Changed, match="df5c5206_3"):
        verdict(tmp_path, data, expected={coded: SHA})


def test_a_scanned_file_that_is_read_whole_has_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"x", recording(samples=bytes(1_500_000))):
        path.write_bytes(data)
        names = Names.of([PERSON])
        scan = scan_file(path, label="x", coded="edf/x.edf", everyone=names, person=names, key=KEY)
        assert scan.sha256 == hashlib.sha256(data).hexdigest()
        assert scan_file(path, label="x", coded="x.avi", everyone=names, person=None, key=KEY).sha256 is None


def test_a_verdict_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = verdict(tmp_path, recording(samples=b"quillavan " * 3))
    path = tmp_path / "verdict.json"
    write_verdict(path, found)
    assert read_verdict(path) == found
    assert b"uillavan" not in path.read_bytes().lower()
    assert b'"schema": "ecogvault-verdict 1"' in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'"review"', b'"clean" '))
    with pytest.raises(Damaged):
        read_verdict(path)


def test_a_verdict_about_another_content_or_other_identifiers_is_refused(tmp_path: Path) -> None:
    found = verdict(tmp_path, recording())
    require_current(found, manifest_sha256=SHA, identifiers="f" * 24)
    with pytest.raises(Refused, match="another content"):
        require_current(found, manifest_sha256="1" * 64, identifiers="f" * 24)
    with pytest.raises(Refused, match="identifiers have changed"):
        require_current(found, manifest_sha256=SHA, identifiers="e" * 24)


def test_the_hash_of_identifiers_changes_with_each_of_them_and_with_the_key() -> None:
    key = bytes(range(32))
    changed = [
        replace(PERSON, surname="Quillavann"),
        replace(PERSON, given=""),
        replace(PERSON, other_names=("Bo",)),
        replace(PERSON, mrn="0048214"),
        replace(PERSON, birth_date=""),
    ]
    hashes = {identifiers_hash(key, person) for person in (PERSON, *changed)} | {identifiers_hash(bytes(32), PERSON)}
    hashes.add(identifiers_hash(key, PERSON, patterns=PATTERNS + 1))
    assert len(hashes) == len(changed) + 3
    assert {len(text) for text in hashes} == {24}
    with pytest.raises(ValueError, match="32 bytes"):
        identifiers_hash(b"short", PERSON)


def test_what_blocks_outweighs_what_is_for_review() -> None:
    def at(place: str) -> Finding:
        return Finding("x", place, 0, "surname", "ascii")

    assert decide([]) == "clean"
    assert decide([at("contents")]) == "review"
    for place in ("path", "key", "header"):
        assert decide([at("contents"), at(place)]) == "block"


def test_the_regions_of_a_file_cover_it_without_gaps() -> None:
    head = recording()[:256]
    for path in ("a.edf", "a.BDF", "a.txt", "a.avi", "a"):
        for size in (0, 1, 255, 256, 768, 5000):
            spans = regions_of(path, lambda at, length, size=size: head[:size][at : at + length], size)
            assert [span.start for span in spans] == [0, *(span.end for span in spans)][: len(spans)]
            assert (spans[-1].end if spans else 0) == size
    assert header_length(head, 5000) == 768
    assert header_length(b"", 0) == 0
    assert header_length(b"\xff" * 256, 5000) == 256
    assert [span.region for span in edf_regions(768, 5000)] == [Region.TEXT, Region.SAMPLES]
