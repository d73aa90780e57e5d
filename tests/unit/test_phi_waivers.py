"""Waivers: what a person has declared to be no identifier, and what follows for the gate."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecogvault.errors import Damaged
from ecogvault.naming import Unit
from ecogvault.person import Person
from ecogvault.phi import (
    Finding,
    Refused,
    Verdict,
    Waiver,
    WaiverRefused,
    add_waivers,
    content_id,
    honoured,
    permits,
    read_waivers,
    scan_unit,
    withdraw,
)
from ecogvault.phi.words import passage
from ecogvault.private import Private

UNIT = Unit("df5c5206", 3, "edf")
KEY = bytes(range(32))
PERSON = Person("Grasswick", "Ed")


def private_folder(folder: Path) -> Private:
    root = folder / "private"
    root.mkdir(mode=0o700)
    return Private(root)


def scanned(folder: Path, data: bytes) -> Verdict:
    path = folder / "text"
    path.write_bytes(data)
    return scan_unit(
        unit=UNIT,
        files=[("vtc/df5c5206_3.txt", path)],
        keys=[],
        person=PERSON,
        everyone=[PERSON],
        contents=True,
        manifest_sha256="0" * 64,
        identifiers="f" * 24,
        key=KEY,
    )


def waiver(finding: Finding, **changes: object) -> Waiver:
    made = Waiver(
        UNIT, finding.place, finding.kind, finding.content, "a stimulator", "lab", "2026-03-02T09:10:11Z", "0" * 64
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_is_waived_leaves_and_nothing_else_does(tmp_path: Path) -> None:
    private = private_folder(tmp_path)
    found = scanned(tmp_path, b"Grasswick S88 stimulator\n" * 5)
    with pytest.raises(Refused):
        permits(honoured(found, read_waivers(private, UNIT.code)), leaves_plain_outside=True)
    add_waivers(private, UNIT.code, [waiver(found.findings[0])])
    left = honoured(found, read_waivers(private, UNIT.code))
    assert (left.outcome, left.findings, left.count) == ("clean", (), 0)
    permits(left, leaves_plain_outside=True)

    more = scanned(tmp_path, b"Grasswick S88 stimulator\nMr Grasswick sleeps\nGrasswick S88 stimulator\n")
    left = honoured(more, read_waivers(private, UNIT.code))
    assert (left.outcome, left.count, left.findings[0].offset) == ("review", 1, 28)

    withdraw(private, UNIT.code, [waiver(found.findings[0])])
    assert read_waivers(private, UNIT.code) == []
    assert honoured(found, []) == found


def test_a_waiver_is_about_one_unit_one_place_and_one_kind(tmp_path: Path) -> None:
    found = scanned(tmp_path, b"Grasswick\n")
    (finding,) = found.findings
    for other in (
        waiver(finding, unit=Unit("df5c5206", 4, "edf")),
        waiver(finding, place="header"),
        waiver(finding, kind="given"),
        waiver(finding, content="0" * 24),
    ):
        assert honoured(found, [other]) == found
    assert honoured(found, [waiver(finding)]).outcome == "clean"


def test_a_finding_in_a_path_or_without_content_cannot_be_waived(tmp_path: Path) -> None:
    private = private_folder(tmp_path)
    in_path = Finding("path number 1", "path", 3, "surname", "ascii", "1" * 24)
    old = Finding("vtc/df5c5206_3.txt", "contents", 3, "surname", "ascii")
    for finding in (in_path, old):
        with pytest.raises(WaiverRefused, match="cannot be waived"):
            add_waivers(private, UNIT.code, [waiver(finding)])
        found = Verdict(UNIT, "0" * 64, "f" * 24, True, "block", (finding,), 1)
        assert honoured(found, [waiver(finding)]).findings == (finding,)
    with pytest.raises(WaiverRefused, match="needs a reason"):
        add_waivers(private, UNIT.code, [waiver(replace(old, content="1" * 24), reason=" ")])
    with pytest.raises(WaiverRefused, match="no unit of"):
        add_waivers(private, "aaaaaaaa", [waiver(replace(old, content="1" * 24))])
    assert read_waivers(private, UNIT.code) == []


def test_a_verdict_that_lists_not_all_it_counted_keeps_its_outcome() -> None:
    finding = Finding("edf/df5c5206_3.edf", "contents", 3, "surname", "ascii", "1" * 24, times=5)
    found = Verdict(UNIT, "0" * 64, "f" * 24, True, "review", (finding,), 7)
    left = honoured(found, [waiver(finding)])
    assert (left.outcome, left.findings, left.count) == ("review", (), 2)
    with pytest.raises(Refused, match="a place that the verdict does not list"):
        permits(left, leaves_plain_outside=True)


def test_waivers_are_kept_in_a_table_that_checks_itself(tmp_path: Path) -> None:
    private = private_folder(tmp_path)
    finding = Finding("vtc/df5c5206_3.txt", "contents", 0, "surname", "ascii", content_id(KEY, "surname", "Grasswick"))
    first = waiver(finding, reason="a\ttab and a\nline")
    second = waiver(finding, kind="given")
    add_waivers(private, UNIT.code, [first])
    add_waivers(private, UNIT.code, [second])
    add_waivers(private, UNIT.code, [replace(first, reason="better")])
    assert read_waivers(private, UNIT.code) == [replace(first, reason="better"), second]
    path = private.root / UNIT.code / "waivers.tsv"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"rasswick" not in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"better", b"bitter"))
    with pytest.raises(Damaged, match="checksum"):
        read_waivers(private, UNIT.code)


def test_the_content_of_a_finding_is_the_text_around_it_as_far_as_a_control_character() -> None:
    assert passage(b"+12\x14Mr ", b"Grasswick", b" asks\x14\0", encoding="ascii") == "Mr Grasswick asks"
    wide = [part.encode("utf-16-le") for part in ("\n\u017dar ", "Grasswick", " asks\r")]
    assert passage(*wide, encoding="utf-16-le") == "Žar Grasswick asks"
    assert passage(b"x" * 200, b"Ed", b"y" * 200, encoding="ascii") == "x" * 64 + "Ed" + "y" * 64
    ids = {content_id(key, kind, text) for key in (KEY, bytes(32)) for kind in "ab" for text in ("x", "y")}
    assert len(ids) == 8
