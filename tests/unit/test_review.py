"""What annotations may say unseen, what waits for a person, and what people's decisions do."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_edf_annotations import written

from ecogvault import edf, review
from ecogvault.config import Config, ConfigError
from ecogvault.naming import Unit
from ecogvault.phi import Refused, Waiver, add_waivers, permits, read_verdict, read_waivers, write_verdict
from ecogvault.phi.verdict import Finding, verdict_of, with_annotations
from ecogvault.private import Private
from ecogvault.review import phrases, texts
from ecogvault.sandbox.export import EXTRA_PATIENTS, HARD_NAME, PLAIN_NAME, STRANGER

CODE = "df5c5206"
UNIT = Unit(CODE, 3, "edf")
KEY = bytes(range(32))
ALLOWED = review.load(Config({}))


@pytest.fixture
def private(tmp_path: Path) -> Private:
    made = Private(tmp_path / "private")
    made.root.mkdir(mode=0o700)
    (made.root / "hash.key").write_bytes(KEY)
    return made


# --- phrases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    "Seizure onset|SEIZURE  ONSET|seizure?|Video record ON|XLSpike|Impedance Check|Impedance at 10 kOhm|12|-0.5"
    "|3,5 mA|Sleep stage W|Sleep stage ?|LFG1-LFG2|Stim on LFG1-LFG2|Stim RPT12-RPT13 4 mA|10:31:07|Fp1|Cz|..."
    "|\tEyes closed.\n|Recording starts|Clip Note|XLEvent|(HV start)|Ｓｅｉｚｕｒｅ".split("|"),
)
def test_clinical_and_vendor_phrases_need_nobody_to_look_at_them(text: str):
    assert ALLOWED.allow(text)


@pytest.mark.parametrize(
    "text",
    "Seizure onset, Nurse Wimblequist in room|Wimblequist|talking to Mibbet|Stim on Mibbet1-LFG2|90418852|555 0199"
    "|call 20:15 Snorvaxen|Seizure Zo|room 12345|1969-06-30|30.06.1969|XLSpike Qi|LFG1 Wimblequist|x@y".split("|"),
)
def test_anything_else_does(text: str):
    assert not ALLOWED.allow(text)


def test_no_phrase_that_comes_along_has_a_word_of_a_made_up_name():
    words = {
        word
        for person in (HARD_NAME, PLAIN_NAME, STRANGER, *EXTRA_PATIENTS)
        for name in (person.surname, person.given, *person.other_names)
        for word in phrases.normalised(name).replace("-", " ").split()
    }
    listed = {word for phrase in ALLOWED.exact for word in phrase.split()}
    assert len(listed) > 300
    assert not words & listed


@given(st.text(max_size=30))
def test_normalising_twice_is_normalising_once(text: str):
    once = phrases.normalised(text)
    assert phrases.normalised(once) == once


def test_a_labs_own_file_adds_phrases_and_says_which_line_is_wrong(tmp_path: Path):
    path = tmp_path / "phrases.txt"
    config = Config({"annotation_phrases": str(path)})
    assert review.digest(Config({})) == ""
    path.write_text("\ufeff# ours\n\nClapping Task Block {n}\nShow us {channel}!\n", encoding="utf-8")
    own = review.load(config)
    assert own.allow("clapping task block 12")
    assert own.allow("show us LFG3")
    assert own.allow("Seizure onset")
    assert not own.allow("clapping task block twelve")
    assert not ALLOWED.allow("clapping task block 12")
    first = review.digest(config)
    path.write_text("Clapping\n", encoding="utf-8")
    assert len({first, review.digest(config), ""}) == 3
    for line in ("Hello {name}", "Hello {n", "Hello n}", "...", "{}", "{{n}}"):
        path.write_text(f"fine\n{line}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="line 2") as error:
            review.load(config)
        assert "Hello" not in str(error.value)
    path.write_bytes(b"M\xfcde\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        review.load(config)
    path.unlink()
    with pytest.raises(ConfigError, match="annotation_phrases"):
        review.digest(config)


# --- texts ------------------------------------------------------------------------------------------------------------


def test_each_free_text_is_listed_once_with_its_count_and_first_place(tmp_path: Path):
    lists = b"+0\x14\x14\0+1\x14Eyes closed\x14Mibbet waves\x14\0+2\x14Mibbet waves\x14\0+3\x14mibbet waves\x14\0"
    path = written(tmp_path, [lists])
    found, whole = review.texts_of(path, KEY, ALLOWED, "it")
    assert whole
    assert [(one.text, one.times, one.onset) for one in found] == [("Mibbet waves", 2, "+1"), ("mibbet waves", 1, "+3")]
    assert path.read_bytes()[found[0].offset :].startswith(b"Mibbet waves")
    assert review.waiting(path, KEY, ALLOWED, "it") == tuple(review.text_id(KEY, one.data) for one in found)
    assert "Mibbet" not in repr(found)
    assert review.text_id(KEY, b"a") != review.text_id(bytes(32), b"a")


def test_a_broken_list_waits_even_where_its_words_are_harmless(tmp_path: Path):
    path = written(tmp_path, [b"+0\x14\x14\0+1\x14Seizure"])
    (one,), _ = review.texts_of(path, KEY, ALLOWED, "it")
    assert (one.text, one.broken) == ("Seizure", True)


def test_redacted_texts_do_not_wait_any_more_whatever_form_they_had(tmp_path: Path):
    path = written(tmp_path, [b"+0\x14\x14\0+1\x14Mibbet\x14\0+2 Mibbet\x14\0", b"Mibbet"])
    data = bytearray(path.read_bytes())
    for change in edf.redactions(path, lambda text: True):
        data[change.offset : change.offset + len(change.after)] = change.after
    path.write_bytes(data)
    assert review.waiting(path, KEY, ALLOWED, "it") == ()


def test_a_list_that_was_cut_can_never_be_accepted_to_its_end(tmp_path: Path, private: Private, monkeypatch):
    monkeypatch.setattr(texts, "MOST", 2)
    path = written(tmp_path, [b"+0\x14\x14\0+1\x14one man\x14two men\x14three men\x14one man\x14\0"])
    listed = review.waiting(path, KEY, ALLOWED, "it")
    assert len(listed) == 3
    assert listed[-1] == review.MORE
    review.accept(private, CODE, listed[:2])
    left = review.read_decisions(private, CODE).settle(verdict(*listed), [])
    assert (left.annotations, left.outcome) == ((review.MORE,), "review")


# --- decisions --------------------------------------------------------------------------------------------------------


def verdict(*annotations: str, findings: tuple[Finding, ...] = (), unit: Unit = UNIT):
    scanned = verdict_of(
        unit, manifest_sha256="0" * 64, identifiers="f" * 24, contents=True, findings=findings, count=len(findings)
    )
    return with_annotations(scanned, annotations)


def settled(private: Private, it):
    return review.read_decisions(private, it.unit.code).settle(it, read_waivers(private, it.unit.code))


def test_free_text_is_for_review_and_the_refusal_names_the_command(tmp_path: Path):
    assert verdict().outcome == "clean"
    waits = verdict("a" * 24, "b" * 24)
    assert waits.outcome == "review"
    permits(waits, leaves_plain_outside=False)
    with pytest.raises(Refused, match=f"2 free texts in its annotations.*ecogvault review {CODE}"):
        permits(waits, leaves_plain_outside=True)
    for it in (waits, verdict()):
        write_verdict(tmp_path / "v.json", it)
        assert read_verdict(tmp_path / "v.json") == it


def test_accepting_waiving_and_taking_back_count_at_once_and_no_further_than_meant(private: Private):
    a, b, c = "a" * 24, "b" * 24, "c" * 24
    other, somebody = Unit(CODE, 4, "edf"), Unit("a0000000", 1, "edf")
    review.accept(private, CODE, [a])
    review.accept(private, CODE, [b], lab=True)
    add_waivers(private, CODE, [Waiver(UNIT, "annotation", "text", c, "a nurse's dog", "me", "", "")])
    assert settled(private, verdict(a, b, c)).outcome == "clean"
    assert settled(private, verdict(a, b, c, unit=other)).annotations == (c,)
    assert settled(private, verdict(a, b, c, unit=somebody)).annotations == (a, c)
    review.undo(private, CODE, [a, b])
    assert settled(private, verdict(a, b, c)).annotations == (a,)


def test_accepting_an_annotation_does_not_accept_a_name_in_it(private: Private):
    finding = Finding("edf/df5c5206_3.edf", "contents", 9, "surname", "ascii", "d" * 24)
    it = settled(private, verdict("a" * 24, findings=(finding,)))
    review.accept(private, CODE, ["a" * 24])
    it = settled(private, it)
    assert (it.outcome, it.annotations, it.count) == ("review", (), 1)
    with pytest.raises(Refused, match="the scan found"):
        permits(it, leaves_plain_outside=True)
    header = replace(finding, place="header")
    assert settled(private, verdict("a" * 24, findings=(header,))).outcome == "block"


def test_redactions_are_of_one_unit_and_their_digest_is_that_units_alone(tmp_path: Path, private: Private):
    other = Unit(CODE, 4, "edf")
    path = written(tmp_path, [b"+0\x14\x14\0+1\x14Mibbet waves\x14Mibbet\x14\0"])
    assert review.redaction_digest(private, UNIT) == ""
    assert review.redaction_edits(private, UNIT, path) == []
    content = review.text_id(KEY, b"Mibbet waves")
    review.redact(private, CODE, [(UNIT, content)])
    first = review.redaction_digest(private, UNIT)
    assert first
    assert review.redaction_digest(private, other) == ""
    assert [change.before for change in review.redaction_edits(private, UNIT, path)] == [b"Mibbet waves"]
    assert review.redaction_edits(private, other, path) == []
    review.redact(private, CODE, [(UNIT, content), (other, content)])  # again: nothing new in the first
    assert review.redaction_digest(private, UNIT) == first
    assert review.redaction_digest(private, other)
    review.undo(private, CODE, [content], [UNIT])
    assert review.redaction_digest(private, UNIT) == ""
    assert review.redaction_digest(private, other)
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in (private.root / CODE).glob("*.tsv")}
    assert modes == {"redactions.tsv": "0o600"}
    assert b"Mibbet" not in (private.root / CODE / "redactions.tsv").read_bytes()
