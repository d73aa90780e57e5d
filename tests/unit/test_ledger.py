"""The ledger as a state machine: what was proven, what was found missing; runs in pieces end at one receipt."""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault import ledger
from ecogvault.errors import Damaged
from ecogvault.ledger import EVIDENCE, Copy, copies, event, fold, read_receipt, receipt, write_receipt
from ecogvault.naming import Unit
from ecogvault.records import write_record

UNIT = Unit("df5c5206", 3, "vid")
SHA = {1: "1" * 64, 2: "2" * 64}
KEYS = ("a", "b", "c")
TURNS = ("acknowledged", "missing", "wrong")


def line(kind: str, generation: int = 1, **more: Any) -> dict[str, Any]:
    return event(kind, generation, SHA[generation], **more) | {"at": "2026-03-02T09:10:11Z"}


def stored(key: str, generation: int = 1, size: int = 1) -> dict[str, Any]:
    return line("object", generation, object={"key": key, "size": size, "etag": f"e{size}"})


def acknowledged(generation: int = 1) -> dict[str, Any]:
    return line("acknowledged", generation, excluded=["x.doc"], bytes_sent=3)


generations = st.sampled_from([1, 2])
events = st.lists(
    st.one_of(
        st.builds(lambda g: line("intent", g), generations),
        st.builds(stored, st.sampled_from(KEYS), generations, st.integers(1, 2)),
        st.builds(acknowledged, generations),
        st.builds(lambda kind, g: line(kind, g), st.sampled_from(EVIDENCE[1:]), generations),
        st.builds(
            lambda kind, g, keys: line(kind, g, keys=sorted(keys)),
            st.sampled_from(["missing", "wrong"]),
            generations,
            st.sets(st.sampled_from(KEYS), min_size=1),
        ),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(events)
def test_evidence_is_the_best_since_the_copy_was_last_complete(some: list[dict[str, Any]]) -> None:
    for generation, copy in fold(some).items():
        evidence: str | None = None
        for one in some:
            if one["generation"] != generation:
                continue
            if one["event"] == "acknowledged":
                evidence = "acknowledged"
            elif one["event"] in ("missing", "wrong"):
                evidence = None
            elif one["event"] in EVIDENCE and evidence is not None:
                evidence = max(evidence, one["event"], key=EVIDENCE.index)
        assert copy.evidence == evidence
        turns = [one["event"] for one in some if one["generation"] == generation and one["event"] in TURNS]
        assert copy.fault == (turns[-1] if turns and turns[-1] != "acknowledged" else None)


@settings(max_examples=60, deadline=None)
@given(events)
def test_objects_are_those_confirmed_last_and_not_missed_since(some: list[dict[str, Any]]) -> None:
    for generation, copy in fold(some).items():
        there: dict[str, int] = {}
        for one in some:
            if one["generation"] == generation:
                if one["event"] == "object":
                    there[one["object"]["key"]] = one["object"]["size"]
                for key in one.get("keys", ()):
                    there.pop(key, None)
        assert {one["key"]: one["size"] for one in copy.objects} == there
        assert copy.size == sum(there.values())


@settings(max_examples=60, deadline=None)
@given(events)
def test_generations_do_not_touch_each_other(some: list[dict[str, Any]]) -> None:
    for generation, copy in fold(some).items():
        assert fold([one for one in some if one["generation"] == generation]) == {generation: copy}


@settings(max_examples=60, deadline=None)
@given(events, st.data())
def test_intents_change_nothing_so_runs_may_begin_and_break_anywhere(
    some: list[dict[str, Any]], data: st.DataObject
) -> None:
    broken = list(some)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(broken)))
        broken.insert(at, line("intent", data.draw(generations)))
    before, after = fold(some), fold(broken)
    when = {"at": ""}
    assert {generation: replace(after[generation], **when) for generation in before} == {
        generation: replace(copy, **when) for generation, copy in before.items()
    }


@given(st.permutations(KEYS), st.lists(st.sampled_from(KEYS), max_size=4), st.integers(0, 3))
def test_the_receipt_is_one_however_the_uploads_were_split_over_runs(
    order: Sequence[str], again: Sequence[str], broken_at: int
) -> None:
    whole = [line("intent"), *(stored(key) for key in KEYS), acknowledged()]
    pieces = [line("intent"), *(stored(key) for key in order[:broken_at]), line("intent")]
    pieces += [*(stored(key) for key in [*again, *order]), acknowledged()]
    assert receipt(UNIT, "s3", fold(pieces)[1]) == receipt(UNIT, "s3", fold(whole)[1])


def test_another_content_under_one_generation_begins_anew() -> None:
    other = stored("b") | {"manifest_sha256": SHA[2]}
    copy = fold([stored("a"), acknowledged(), other])[1]
    assert (copy.manifest_sha256, [one["key"] for one in copy.objects], copy.evidence) == (SHA[2], ["b"], None)


def test_evidence_of_what_is_not_complete_proves_nothing() -> None:
    assert fold([stored("a"), line("listed"), line("rehashed")])[1].evidence is None
    found = fold([stored("a"), acknowledged(), line("missing", keys=["a"]), line("restored")])[1]
    assert (found.evidence, found.fault, found.objects) == (None, "missing", ())


def test_an_event_of_a_newer_version_is_not_passed_over() -> None:
    with pytest.raises(Damaged, match="'sublimated', which this version does not know"):
        fold([line("sublimated")])


def test_a_ledger_is_read_as_it_was_written_event_by_event(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "s3" / "x.jsonl"
    some: list[Mapping[str, Any]] = [line("intent"), stored("a"), acknowledged(), line("listed")]
    for number, one in enumerate(some, 1):
        ledger.append(path, one, mode=0o640, group=None)
        assert copies(path) == fold(some[:number])
    data = path.read_bytes()
    for at in range(0, len(data), 5):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(Damaged, match=f"line {data[:at].count(10) + 1},"):
            copies(path)
    assert copies(tmp_path / "none.jsonl") == {}


def test_a_receipt_is_read_as_it_was_written_and_every_byte_counts(tmp_path: Path) -> None:
    copy = fold([stored("b"), stored("a"), acknowledged(), line("listed")])[1]
    path = tmp_path / "new" / "r.json"
    write_receipt(path, UNIT, "s3", copy, mode=0o604)
    back = read_receipt(path)
    assert back.pop("self_sha256")
    assert back == receipt(UNIT, "s3", copy)
    assert [one["key"] for one in back["objects"]] == ["a", "b"]
    assert (back["evidence"], back["excluded"], back["bytes_sent"]) == ("listed", ["x.doc"], 3)
    assert path.stat().st_mode & 0o777 == 0o604
    data = path.read_bytes()
    for at in random.Random(1).sample(range(len(data)), 60):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
        with pytest.raises(Damaged, match=os.fspath(path)):
            read_receipt(path)
    write_record(path, {"schema": "ecogvault-verdict 1"})
    with pytest.raises(Damaged, match="is not a receipt"):
        read_receipt(path)


def test_a_copy_knows_its_size() -> None:
    copy = Copy(1, SHA[1])
    assert copy.size == 0
    assert replace(copy, objects=({"key": "a", "size": 3}, {"key": "b", "size": 4})).size == 7


def test_an_attempt_to_send_other_content_under_a_generation_forgets_nothing_of_what_is_there() -> None:
    """As after a restore of private/ from before: the attempt is refused, and the copy is as good as it was."""
    sent = [
        event("intent", 4, "ab" * 32),
        event("object", 4, "ab" * 32, object={"key": "x", "etag": "e", "size": 1}),
        event("acknowledged", 4, "ab" * 32, excluded=[], bytes_sent=1),
    ]
    refused = event("intent", 4, "cd" * 32)
    assert fold([*sent, refused]) == fold(sent)
    taken = event("object", 4, "cd" * 32, object={"key": "y", "etag": "f", "size": 1})
    assert fold([*sent, refused, taken])[4].manifest_sha256 == "cd" * 32
