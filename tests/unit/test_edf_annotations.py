"""Annotations of recordings: every text is found where it is, nothing is passed over, and redaction changes no more."""

import hashlib
import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import edfio
import mne
import numpy as np
import pyedflib
import pytest
from edf_builder import header
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.edf import Annotation, NotProven, annotations, redacted, redactions, scrub_file, scrubbed_sha256
from ecogvault.edf.patch import Change
from ecogvault.edf.scrub import CHUNK

SAMPLES = 20  # of the one signal that is none of annotations; its bytes are letters, which must not come as text


def written(folder: Path, *records: Sequence[bytes], width: int = 2, tail: bytes = b"", **arguments: object) -> Path:
    """A recording whose records hold these annotation signals, the first before the samples, the others behind."""
    sizes = [max(len(record[place]) for record in records) for place in range(len(records[0]))]
    sizes = [-(-size // width) * width for size in sizes]
    samples = b"S" * SAMPLES * width
    body = b""
    for record in records:
        first, *others = (data.ljust(size, b"\0") for data, size in zip(record, sizes, strict=True))
        body += first + samples + b"".join(others)
    name = "BDF Annotations" if width == 3 else "EDF Annotations"
    counts = [sizes[0] // width, SAMPLES, *(size // width for size in sizes[1:])]
    version = b"\xffBIOSEMI" if width == 3 else b"0       "
    labels = [name, "EEG LFG1", *[name] * (len(sizes) - 1)]
    head = header(**{"labels": labels, "samples": counts, "records": len(records), "version": version, **arguments})
    path = folder / "a.edf"
    path.write_bytes(head + body + tail)
    return path


def texts(path: Path) -> list[bytes]:
    return [one.data for one in annotations(path)]


def found(path: Path) -> list[Annotation]:
    """All annotations, after each was looked up at the place where it is said to be."""
    data = path.read_bytes()
    got = list(annotations(path))
    assert [data[one.offset : one.offset + len(one.data)] for one in got] == [one.data for one in got]
    return got


def test_texts_come_with_their_record_and_onset_and_timekeeping_does_not_count(tmp_path: Path):
    first = b"+0\x14\x14\0+0.5\x152.25\x14Seizure\x14left hand\x14\0"
    second = b"+1\x14\x14Recording ends\x14\0-3\x14\x14Eyes closed\x14\0"
    got = found(written(tmp_path, [first], [second]))
    assert [(one.record, one.onset, one.text, one.broken) for one in got] == [
        (0, "+0.5", "Seizure", False),
        (0, "+0.5", "left hand", False),
        (1, "+1", "Recording ends", False),
        (1, "-3", "Eyes closed", False),
    ]


def test_all_annotation_signals_of_edf_and_bdf_are_looked_at(tmp_path: Path):
    for width in (2, 3):
        one = [b"+0\x14\x14\0+0\x14one\x14\0", b"+0\x14two\x14\0", b"+0.1\x14three\x14\0"]
        two = [b"+1\x14\x14\0", b"", b"+1.1\x14four\x14\0"]
        assert texts(written(tmp_path, one, two, width=width)) == [b"one", b"two", b"three", b"four"]


def test_a_label_in_another_case_hides_nothing_and_plain_edf_has_no_annotations(tmp_path: Path):
    record = [b"+0\x14\x14\0+0\x14one\x14\0"]
    for label in ("EDF ANNOTATIONS", "EDF Annotations2", "Annotations", "BDF annotation"):
        assert texts(written(tmp_path, record, labels=[label, "EEG"])) == [b"one"]
    assert texts(written(tmp_path, record, labels=["EEG 1", "EEG 2"])) == []


@pytest.mark.parametrize("text", ["Fährlund", "Zoë", "müde und schläfrig", "“quoted”"])
def test_utf8_and_latin1_are_read_as_people_wrote_them(tmp_path: Path, text: str):
    for codec in ("utf-8", "cp1252"):
        (one,) = found(written(tmp_path, [b"+0\x14\x14\0+0\x14" + text.encode(codec) + b"\x14\0"]))
        assert one.text == text


@pytest.mark.parametrize(
    ("lists", "broken"),
    [
        (b"+0\x14\x14\0+5\x14Nurse Wimblequist", [b"Nurse Wimblequist"]),  # no end
        (b"+0\x14\x14\0+5 Nurse Wimblequist\x14\0", [b"+5 Nurse Wimblequist\x14"]),  # no byte 20 behind the onset
        (b"+0\x14\x14\0Nurse Wimblequist\0", [b"Nurse Wimblequist"]),
        (b"+0\x14\x14\0+5\x15long\x14Wimblequist\x14\0", [b"+5\x15long\x14Wimblequist\x14"]),  # a duration in words
        (b"Wimblequist", [b"Wimblequist"]),
        (b"+0\x14\x14\0\0\0\0Wimblequist\0\0a", [b"Wimblequist", b"a"]),  # behind the unused bytes
        (b"\xff\xfe\x01", [b"\xff\xfe\x01"]),
    ],
)
def test_what_is_no_list_comes_as_a_broken_annotation(tmp_path: Path, lists: bytes, broken: list[bytes]):
    got = found(written(tmp_path, [lists]))
    assert [one.data for one in got] == broken
    assert all(one.broken for one in got)


def test_text_in_utf16_is_one_annotation(tmp_path: Path):
    wide = "+5\x14Nurse Wimblequist\x14".encode("utf-16-le")
    (one,) = found(written(tmp_path, [b"+0\x14\x14\0\0" + wide]))
    assert one.broken
    assert "Nurse Wimblequist" in one.text


def test_lists_that_readers_may_not_like_but_that_say_nothing_are_no_text(tmp_path: Path):
    for lists in (
        b"0\x14\x14\0",
        b"+0,5\x14\x14\0",
        b" +7 \x14\x14\0",
        b"+0\x14\0",
        b"+0\x14\x14",
        b"\x14\x14\0",
        b"  ",
    ):
        assert found(written(tmp_path, [lists])) == [], lists


def test_nothing_behind_the_last_counted_record_is_passed_over(tmp_path: Path):
    records = [[b"+0\x14\x14\0+0\x14one\x14\0"], [b"+1\x14\x14\0+1\x14two\x14\0"]]
    for count in (-1, 1, 2):
        assert texts(written(tmp_path, *records, records=count)) == [b"one", b"two"]
    cut = b"+2\x14\x14\0+2\x14Wimb"
    assert texts(written(tmp_path, *records, records=-1, tail=cut)) == [b"one", b"two", b"Wimb"]


# --- properties -------------------------------------------------------------------------------------------------------

onsets = st.one_of(
    st.integers(-99, 99999).map(lambda value: f"{value:+d}"),
    st.floats(0, 99999).map(lambda value: f"{value:+.4f}"),
)
words = st.text(st.characters(exclude_characters="\0\x14\x15", exclude_categories=["Cs"]), max_size=12)
encoded = words.map(str.encode) | words.map(lambda text: text.encode("cp1252", "replace"))
lists = st.tuples(onsets, st.none() | st.floats(0, 999).map("{:.3f}".format), st.lists(encoded, min_size=1, max_size=3))


def tal(onset: str, duration: str | None, some: list[bytes]) -> bytes:
    length = b"\x15" + duration.encode() if duration else b""
    return onset.encode() + length + b"\x14" + b"".join(text + b"\x14" for text in some) + b"\0"


@given(st.lists(st.lists(lists, max_size=4), min_size=1, max_size=4), st.sampled_from([2, 3]), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_what_a_writer_wrote_is_what_is_found(tmp_path_factory, records: list, width: int, unused: int):
    wanted = []
    signals = []
    for number, some in enumerate(records):
        data = f"+{number}\x14\x14\0".encode()
        for onset, duration, contents in some:
            data += tal(onset, duration, contents)
            wanted += [(number, onset, text, False) for text in contents if text.strip()]
        signals.append([data + bytes(unused)])
    path = written(tmp_path_factory.mktemp("tals"), *signals, width=width)
    assert [(one.record, one.onset, one.data, one.broken) for one in found(path)] == wanted


some_bytes = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"+1", b"\x14", b"\x14\x14", b"\0", b"\0\0", b"\x15", b"2", b"name", b" ", b"+0\x14\x14\0"])
).map(b"".join)


@given(st.lists(st.tuples(some_bytes, some_bytes), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_no_letter_of_an_annotation_signal_is_outside_the_annotations(tmp_path_factory, records: list):
    path = written(tmp_path_factory.mktemp("any"), *records)
    rest = bytearray(path.read_bytes())
    for one in found(path):
        rest[one.offset : one.offset + len(one.data)] = bytes(len(one.data))
    body = bytes(rest[256 * (len(records[0]) + 2) :])
    assert re.fullmatch(rb"[\0\x14\x15 \t\r\n0-9+.,S\x0b\x0c-]*", body), body  # S: the samples of the fixture


@given(st.lists(st.tuples(some_bytes, some_bytes), min_size=1, max_size=3), st.data())
@settings(max_examples=150, deadline=None)
def test_redaction_changes_what_is_wanted_and_nothing_else(tmp_path_factory, records: list, data: st.DataObject):
    signals = [(b"+0\x14\x14\0" + first, second) for first, second in records]
    path = written(tmp_path_factory.mktemp("any"), *signals)
    before, whole = found(path), path.read_bytes()
    wanted = data.draw(st.sets(st.sampled_from(sorted({one.data for one in before})))) if before else set()
    changed = bytearray(whole)
    for change in redactions(path, lambda text: text in wanted):
        assert len(change.before) == len(change.after)
        assert whole[change.offset : change.offset + len(change.before)] == change.before
        changed[change.offset : change.offset + len(change.after)] = change.after
    path.write_bytes(changed)
    after = found(path)
    assert len(changed) == len(whole)
    assert [one.data for one in after if not one.is_redacted] == [
        one.data for one in before if not one.is_redacted and one.data not in wanted
    ]
    assert [one.offset for one in after] == [one.offset for one in before]
    gone = {place for one in before if one.data in wanted for place in range(one.offset, one.offset + len(one.data))}
    assert all(changed[place] == whole[place] for place in range(len(whole)) if place not in gone)
    assert redactions(path, lambda text: text in wanted) == []


def test_memory_does_not_grow_with_the_lists(tmp_path: Path):
    lists = b"+0\x14\x14\0" + b"+1\x14Nurse in the room, 1\x14\0" * 200_000 + b"z" * 2_000_000
    path = written(tmp_path, [lists])
    tracemalloc.start()
    try:
        count = sum(1 for _ in annotations(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 200_000
    assert peak < 4 * 1024 * 1024


# --- redacted copies --------------------------------------------------------------------------------------------------

NAMED = "asks Wimblequist for water"
KEPT = ("Eyes closed", "Überwachung beginnt", "Eyes open")


def edfio_recording(folder: Path, name: str) -> Path:
    rates = np.random.default_rng(1)
    kind = (edfio.EdfSignal, edfio.Edf, edfio.EdfAnnotation)
    if name.endswith(".bdf"):
        kind = (edfio.BdfSignal, edfio.Bdf, edfio.EdfAnnotation)
    signal, whole, note = kind
    notes = [note(0.5, None, KEPT[0]), note(1.25, 2.0, NAMED), note(2, None, KEPT[1]), note(7.75, None, NAMED)]
    notes.append(note(8, None, KEPT[2]))
    path = folder / name
    whole([signal(rates.normal(0, 9, 2560), 256, label="EEG LFG1")], annotations=notes).write(path)
    return path


def pyedflib_recording(folder: Path, name: str) -> Path:
    path = folder / name
    kind = pyedflib.FILETYPE_BDFPLUS if name.endswith(".bdf") else pyedflib.FILETYPE_EDFPLUS
    with pyedflib.EdfWriter(str(path), 1, file_type=kind) as writer:
        writer.setSignalHeader(0, pyedflib.highlevel.make_signal_header("EEG LFG1", sample_frequency=256))
        writer.writeSamples([np.random.default_rng(1).normal(0, 9, 2560)])
        for onset, duration, text in ((0.5, -1, KEPT[0]), (1.25, 2, NAMED), (2, -1, KEPT[1]), (8, -1, KEPT[2])):
            writer.writeAnnotation(onset, duration, text)
    return path


def mne_recording(folder: Path, name: str) -> Path:
    path = folder / name
    samples = np.random.default_rng(1).normal(0, 9e-6, (1, 2560))
    raw = mne.io.RawArray(samples, mne.create_info(["LFG1"], 256, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([0.5, 1.25, 2, 8], [0, 2, 0, 0], [KEPT[0], NAMED, *KEPT[1:]]))
    raw.export(path, verbose="error")
    return path


def as_pyedflib_has_it(path: Path) -> tuple[bytes, list[tuple[float, str]]]:
    with pyedflib.EdfReader(str(path)) as reader:
        times, _, some = reader.readAnnotations()
        return reader.readSignal(0, digital=True).tobytes(), list(zip(times, some, strict=True))


def as_edfio_has_it(path: Path) -> tuple[bytes, list[tuple[float, str]]]:
    opened = (edfio.read_bdf if path.suffix == ".bdf" else edfio.read_edf)(path)
    return opened.signals[0].digital.tobytes(), [(one.onset, one.text) for one in opened.annotations]


def as_mne_has_it(path: Path) -> tuple[bytes, list[tuple[float, str]]]:
    read = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    opened = read(path, preload=True, verbose="error", encoding="utf8")
    some = zip(opened.annotations.onset, opened.annotations.description, strict=True)
    return opened.get_data().tobytes(), [(float(onset), str(text)) for onset, text in some]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (edfio_recording, "a.edf"),
        (edfio_recording, "a.bdf"),
        (pyedflib_recording, "a.edf"),
        (pyedflib_recording, "a.bdf"),
        (mne_recording, "a.edf"),
    ],
)
def test_a_redacted_copy_opens_everywhere_with_equal_samples_and_all_other_annotations(tmp_path: Path, make, name: str):
    source = make(tmp_path, name)
    target = tmp_path / f"df5c5206_1{source.suffix}"
    edits = redactions(source, lambda text: b"Wimblequist" in text)
    assert edits
    whole = source.read_bytes()
    done = scrub_file(source, target, "df5c5206", edits=edits)
    assert source.read_bytes() == whole
    written_copy = target.read_bytes()
    assert b"Wimblequist" not in written_copy
    assert hashlib.sha256(written_copy).hexdigest() == done.sha256
    assert scrubbed_sha256(source, "df5c5206", edits=edits) == (done.sha256, done.changes)
    # Each change undone gives the source, byte for byte.
    undone = bytearray(written_copy)
    for change in done.changes:
        undone[change.offset : change.offset + len(change.before)] = change.before
    assert bytes(undone) == whole
    for look in (as_pyedflib_has_it, as_edfio_has_it, as_mne_has_it):
        samples, notes = look(source)
        kept = [(onset, redacted(text.encode()).decode() if text == NAMED else text) for onset, text in notes]
        assert kept != notes
        assert look(target) == (samples, kept)


def test_a_redaction_across_two_buffers_is_written_and_proven(tmp_path: Path):
    filling = b"+0\x14\x14\0" + b"+1\x14" + b"a" * 12_000 + b"\x14\0"
    path = written(tmp_path, *[[filling]] * 400)
    edits = redactions(path, lambda text: True)
    across = [e for e in edits if e.offset // CHUNK != (e.offset + len(e.before) - 1) // CHUNK]
    assert across
    done = scrub_file(path, tmp_path / "b.edf", "df5c5206", edits=edits)
    assert scrubbed_sha256(path, "df5c5206", edits=edits)[0] == done.sha256
    assert all(one.is_redacted for one in annotations(tmp_path / "b.edf"))


def test_an_edit_that_is_not_about_these_bytes_leaves_nothing(tmp_path: Path):
    path = written(tmp_path, [b"+0\x14\x14\0+0\x14Wimblequist\x14\0"])
    (right,) = redactions(path, lambda text: True)
    wrong = Change(right.name, right.offset, b"Blorptwill!", right.after)
    with pytest.raises(NotProven):
        scrub_file(path, tmp_path / "b.edf", "df5c5206", edits=[wrong])
    assert [one.name for one in tmp_path.iterdir()] == ["a.edf"]
