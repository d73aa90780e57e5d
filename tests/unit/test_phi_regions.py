"""Where in a file an identifier is looked for: every kind of place that the lab's files have."""

import io
import random
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import edf_builder
import pytest
from compound_builder import compound
from test_phi_scanner import CODECS, QUILL, QUILL_SPELLINGS, UEBEL, UEBEL_SPELLINGS

from ecogvault.person import Person
from ecogvault.phi import Bytes, Names, scan_file, sweep
from ecogvault.phi.patterns import Region
from ecogvault.phi.regions import Span, regions_of
from ecogvault.phi.scan import FileScan
from ecogvault.phi.scanner import Hit
from ecogvault.phi.sweep import AnnotationSignals
from ecogvault.sandbox.made_avi import avi_bytes
from ecogvault.sandbox.made_natus import header_bytes

KEY = bytes(range(32))
MOMENT = datetime(2026, 3, 2, tzinfo=UTC)
NG = Person("Ng", "Li", (), "77120934", "2001-02-28")
NOBODY = Person("", "")
COMPILED = {person: Names.of([person]) for person in (QUILL, UEBEL, NG)}
NOISE = random.Random(7).randbytes(200_000)


def spellings() -> list[tuple[Person, str, bytes]]:
    """Every spelling of two people in every encoding that has its letters."""
    found = []
    for person, texts in ((QUILL, QUILL_SPELLINGS), (UEBEL, UEBEL_SPELLINGS)):
        for text in texts:
            for codec in CODECS:
                for form in dict.fromkeys((text, unicodedata.normalize("NFD", text))):
                    try:
                        found.append((person, codec, form.encode(codec)))
                    except UnicodeEncodeError:
                        continue
    return found


# --- one file for each kind of place, with `text` in it ---------------------------------------------------------------


def edf_patient(text: bytes) -> bytes:
    return edf_builder.recording(patient=b"X X X " + text[:70])


def edf_transducer(text: bytes) -> bytes:
    data = bytearray(edf_builder.recording())
    data[256 + 2 * 16 : 256 + 2 * 16 + 80] = text.ljust(80)[:80]
    return bytes(data)


def edf_samples(text: bytes) -> bytes:
    data = bytearray(edf_builder.recording())
    data[768 + 260 + 50 : 768 + 260 + 50 + len(text)] = text
    return bytes(data)


def edf_annotation(text: bytes) -> bytes:
    """In the second of two annotation signals, in the second data record."""
    labels, samples = ("EDF Annotations", "EEG Fpz-Cz", "EDF Annotations"), (10, 100, 60)
    body = b""
    for second in range(3):
        body += f"+{second}\x14\x14\0".encode().ljust(20, b"\0") + bytes(range(200))
        note = b"+1.5\x14to " + text + b" now\x14\0" if second == 1 else b""
        body += note.ljust(120, b"\0")[:120]
    return edf_builder.header(labels=labels, samples=samples) + body


def natus_slot(text: bytes) -> bytes:
    data = bytearray(header_bytes("erd", NOBODY, MOMENT, random.Random(1)) + NOISE[:3000])
    data[112 : 112 + 80] = text.ljust(80, b"\0")[:80]
    return bytes(data)


def natus_name(text: bytes) -> bytes:
    """In a name[261] of the second entry of a .vtc file (stride 293)."""
    entries = [b"C:\\Data\\" + name + b"_0001.avi" for name in (b"none", text)]
    body = b"".join(entry.ljust(261, b"\0")[:261] + NOISE[:32] for entry in entries)
    return NOISE[:16] + struct.pack("<I", 1) + body


def eeg_text(text: bytes) -> bytes:
    return header_bytes("eeg", NOBODY, MOMENT, random.Random(1)) + NOISE[:500] + b'(."LastName", "' + text + b'")'


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def riff_info(text: bytes) -> bytes:
    """In an INFO list behind the pictures."""
    avi = avi_bytes(random.Random(1), frames=2)
    info = _chunk(b"LIST", b"INFO" + _chunk(b"ISFT", b"none\0") + _chunk(b"IART", text + b"\0\0"))
    return avi[:4] + struct.pack("<I", len(avi) - 8 + len(info)) + avi[8:] + info


def riff_junk(text: bytes) -> bytes:
    """In a chunk of no known kind before the pictures."""
    avi = avi_bytes(random.Random(1), frames=2)
    junk = _chunk(b"JUNK", NOISE[:100] + b"station 3:\t" + text + b" \0" + NOISE[100:200])
    return avi[:4] + struct.pack("<I", len(avi) - 8 + len(junk)) + avi[8:12] + junk + avi[12:]


def plain_text(text: bytes) -> bytes:
    return b"Video time codes\r\n\r\n" + text + b"\r\n"


def doc_stream(text: bytes) -> bytes:
    """In a Word file's text, across the border of two sectors that lie apart."""
    story = b"Report. " * 127 + b"Seen:  "[: 1024 - 8 * 127 - len(text) // 2] + text
    return compound({"WordDocument": NOISE[:8] + story[8:] + b" today. " * 500, "1Table": NOISE[:5000]})


def epo_property(text: bytes) -> bytes:
    properties = NOISE[:64].replace(b"\n", b"\0") + struct.pack("<II", 30, len(text) + 1) + text + b"\0\0\0"
    return compound({"\x05SummaryInformation": properties, "Contents": NOISE[:9000]})


def docx(text: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("word/document.xml", b"<w:t>Seen " + text + b"</w:t>" + b"<w:p/>" * 500)
    return target.getvalue()


PLACES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "EDF patient field": ("edf/df5c5206_3.edf", edf_patient),
    "EDF transducer": ("edf/df5c5206_3.edf", edf_transducer),
    "EDF samples": ("edf/df5c5206_3.edf", edf_samples),
    "annotation": ("edf/df5c5206_3.edf", edf_annotation),
    "Natus header": ("vid/df5c5206_3/df5c5206_3.erd", natus_slot),
    "name in .vtc": ("vid/df5c5206_3/df5c5206_3.vtc", natus_name),
    "text in .eeg": ("vid/df5c5206_3/df5c5206_3.eeg", eeg_text),
    "RIFF INFO": ("vid/df5c5206_3/df5c5206_3_0001.avi", riff_info),
    "RIFF JUNK": ("vid/df5c5206_3/df5c5206_3_0001.avi", riff_junk),
    "text": ("vtc/df5c5206_3.txt", plain_text),
    "stream of .doc": ("vid/df5c5206_3/df5c5206_3.doc", doc_stream),
    "property of .epo": ("vid/df5c5206_3/df5c5206_3.epo", epo_property),
    "part of .docx": ("vid/df5c5206_3/df5c5206_3_x001.docx", docx),
}


def scanned(path: Path, data: bytes, coded: str, names: Names) -> FileScan:
    path.write_bytes(data)
    return scan_file(path, label=coded, coded=coded, everyone=names, person=names, key=KEY)


@pytest.mark.parametrize("place", PLACES)
def test_every_spelling_in_every_encoding_is_found_in_every_place(tmp_path: Path, place: str) -> None:
    coded, planted = PLACES[place]
    empty = planted(b"nothing")
    assert {scanned(tmp_path / "f", empty, coded, names).count for names in COMPILED.values()} == {0}
    missed, tried = [], 0
    for number, (person, codec, text) in enumerate(spellings()):
        if place == "EDF samples" and codec.startswith("utf-16") and (len(text) < 20 or b"%" in text):
            continue  # by rule
        if place == "EDF patient field" and len(text) > 70:
            continue
        tried += 1
        if not scanned(tmp_path / "f", planted(text), coded, COMPILED[person]).count:
            missed.append(number)
    assert tried >= 190
    assert [spellings()[number] for number in missed] == []


@pytest.mark.parametrize("place", ["annotation", "Natus header", "name in .vtc", "text in .eeg", "RIFF INFO"])
def test_a_short_name_counts_where_text_is(tmp_path: Path, place: str) -> None:
    coded, planted = PLACES[place]
    for name in (b"Ng", b"ng li"):
        assert scanned(tmp_path / "f", planted(name), coded, COMPILED[NG]).count, name
    assert not scanned(tmp_path / "f", planted(b"song"), coded, COMPILED[NG]).count


def test_a_finding_says_in_which_part_of_the_file_it_is(tmp_path: Path) -> None:
    parts = {
        place: {
            finding.part for finding in scanned(tmp_path / "f", make(b"Quillavan"), coded, COMPILED[QUILL]).findings
        }
        for place, (coded, make) in PLACES.items()
    }
    assert parts["annotation"] == {"annotation"}
    assert parts["Natus header"] == {"Natus header"}
    assert parts["RIFF INFO"] == {"RIFF text"}
    assert parts["stream of .doc"] == {"stream 2"}
    assert "part 1" in parts["part of .docx"]


def test_an_annotation_is_one_finding_at_its_place_in_the_file(tmp_path: Path) -> None:
    data = edf_annotation(b"Mr Quillavan")
    scan = scanned(tmp_path / "f", data, "edf/x.edf", COMPILED[QUILL])
    assert [(f.offset, f.times, f.place) for f in scan.findings] == [(data.index(b"Quillavan"), 1, "contents")]


def test_the_onset_of_an_annotation_is_no_record_number(tmp_path: Path) -> None:
    names = Names.of([Person("Quorvley", "", (), "86399", "1987-04-09")])
    for onset, found in (("+86399", 0), ("+31876", 0), ("+5\x1486399", 1), ("+5\x14born 31876", 1)):
        data = edf_builder.recording(onsets=(onset,))
        assert scanned(tmp_path / "f", data, "edf/x.edf", names).count == found, onset


@pytest.mark.parametrize("coded", ["vid/x/x.doc", "vid/x/x_x001.docx"])
def test_a_compound_file_that_cannot_be_looked_into_is_for_review(tmp_path: Path, coded: str) -> None:
    whole = doc_stream(b"nothing") if coded.endswith(".doc") else docx(b"nothing")
    scan = scanned(tmp_path / "f", whole[: len(whole) // 2], coded, COMPILED[QUILL])
    assert [(finding.kind, finding.place) for finding in scan.findings] == [("unreadable", "contents")]
    other = scanned(tmp_path / "f", whole[: len(whole) // 2 - 6], coded, COMPILED[QUILL])
    assert other.findings[0].content != scan.findings[0].content


def test_a_name_in_a_compound_file_is_nowhere_in_its_bytes_as_they_lie() -> None:
    for make in (doc_stream, docx):
        assert b"Quillavan-Zurova" not in make(b"Quillavan-Zurova")


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


@pytest.mark.parametrize("place", PLACES)
def test_spans_cover_every_file_without_gaps_and_so_do_they_when_it_is_cut(place: str) -> None:
    coded, planted = PLACES[place]
    data = planted(b"nothing")
    for size in {0, 1, 11, 12, 13, 31, 33, 255, 351, 353, len(data) // 2, len(data) - 1, len(data)}:
        cut = data[:size]
        spans = regions_of(coded, reader(cut), len(cut))
        assert [span.start for span in spans] == [0, *(span.end for span in spans)][: len(spans)]
        assert (spans[-1].end if spans else 0) == len(cut)


def test_the_pictures_of_a_video_are_not_read_as_text() -> None:
    avi = avi_bytes(random.Random(1), frames=2)
    spans = regions_of("x.avi", reader(avi), len(avi))
    (movi,) = [span for span in spans if span.region is Region.BINARY]
    assert (avi[movi.start + 8 : movi.start + 12], movi.end) == (b"movi", avi.index(b"idx1"))
    # cut off before the lengths were written: what follows counts as pictures
    broken = avi[: movi.start + 4] + bytes(4) + avi[movi.start + 8 :]
    assert regions_of("x.avi", reader(broken), len(broken))[-1].region is Region.BINARY


@pytest.mark.parametrize("sizes", [(20, 200, 120), (7, 3), (1,), (500, 2)])
@pytest.mark.parametrize("step", [1, 13, 340, 1000, 5000])
def test_annotation_signals_are_gathered_whole_however_the_file_is_cut(sizes: tuple[int, ...], step: int) -> None:
    starts = [0, *(sum(sizes[: number + 1]) for number in range(len(sizes)))]
    places = [(start, size) for start, size in zip(starts, sizes, strict=False)][::2]
    signals = AnnotationSignals(first=768, record=sum(sizes), places=tuple(places))
    data = bytes(768) + NOISE[:4000]
    wanted = [
        at
        for at in range(768, len(data))
        if any(start <= (at - 768) % signals.record < start + size for start, size in places)
    ]
    gathered = b"".join(
        signals.gathered(memoryview(data)[start:end], start)
        for start, end in pairwise([*range(768, len(data), step), len(data)])
    )
    assert gathered == bytes(data[at] for at in wanted)
    assert [signals.offset(position) for position in range(len(gathered))] == wanted


def test_bytes_are_looked_at_as_files_are(tmp_path: Path) -> None:
    found: list[Hit] = []

    def tell(_span: Span, hits: object, _read: object) -> None:
        found.extend(hits)  # type: ignore[arg-type]

    for coded, planted in PLACES.values():
        data = planted(b"Quillavan, \xc3\x89meline")
        found.clear()
        names = COMPILED[QUILL]
        sha256 = sweep(Bytes(data), coded, everyone=names, person=names, found=tell)
        scan = scanned(tmp_path / "f", data, coded, names)
        assert (len(found), sha256) == (scan.count, scan.sha256)
        assert found
