"""Person data, and when two entries are the same person. All names are made up."""

import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.person import Person, letters
from ecogvault.registry import BadPerson, make_person
from ecogvault.registry.people import Same, compare, merge

FULL = make_person("Quellmotz-O'Vrânk", "Ösilda Mirx", "Trellwick", "00812", "1987-04-09")

name_texts = st.text(st.sampled_from("abzéüñçøßŁ'’- XÅ"), min_size=1, max_size=12).filter(letters)


def spellings(text: str) -> list[str]:
    return [
        text,
        text.upper(),
        text.lower(),
        text.casefold(),
        unicodedata.normalize("NFD", text),
        unicodedata.normalize("NFD", text.upper()),
        f"  {text} ",
    ]


@given(name_texts, name_texts, st.data())
def test_case_accent_composition_and_space_do_not_make_another_person(
    surname: str, given_name: str, data: st.DataObject
) -> None:
    known = make_person(surname, given_name, birth_date="1990-01-31")
    typed = data.draw(st.sampled_from(spellings(surname)))
    again = make_person(typed, data.draw(st.sampled_from(spellings(given_name))), birth_date="1990-01-31")
    assert compare(known, again) is Same.SAME
    assert compare(again, known) is Same.SAME


@given(name_texts, name_texts)
def test_other_letters_make_another_name(one: str, other: str) -> None:
    same = letters(one) == letters(other)
    people = [make_person(name, "Mirx", birth_date="1990-01-31", mrn="") for name in (one, other)]
    assert (compare(*people) is Same.SAME) is same


@given(name_texts, st.booleans(), st.booleans(), st.booleans())
def test_comparing_is_symmetric_where_nobody_has_other_names(
    name: str, mrn: bool, born: bool, given_name: bool
) -> None:
    one = make_person(name, "Mirx" if given_name else "", (), "1" if mrn else "", "1990-01-31" if born else "")
    other = make_person("Zubrix", "Mirx", (), "1", "1990-01-31")
    assert compare(one, other) is compare(other, one)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Same.SAME),
        ({"given": ""}, Same.SAME),
        ({"birth_date": ""}, Same.SAME),
        ({"surname": "QUELLMOTZ OVRANK"}, Same.SAME),
        ({"surname": "Trellwick"}, Same.SAME),  # a known other name
        ({"mrn": ""}, Same.SAME),
        ({"mrn": "", "surname": "trellwick"}, Same.SAME),
        # equal MRNs with something else that differs
        ({"surname": "Zubrix"}, Same.MAYBE),
        ({"given": "Ösilda"}, Same.MAYBE),
        ({"birth_date": "1987-04-08"}, Same.MAYBE),
        ({"surname": "Zubrix", "given": "Hask", "birth_date": "2001-01-01"}, Same.MAYBE),
        # the names agree
        ({"mrn": "", "birth_date": ""}, Same.MAYBE),
        ({"mrn": "", "birth_date": "1987-04-08"}, Same.MAYBE),
        ({"mrn": "812"}, Same.MAYBE),
        ({"mrn": "812", "birth_date": ""}, Same.MAYBE),
        ({"mrn": "812", "birth_date": "1987-04-08"}, Same.OTHER),
        # MRN unknown, birth date and one name agree
        ({"mrn": "", "surname": "Zubrix"}, Same.MAYBE),
        ({"mrn": "", "given": "Hask"}, Same.MAYBE),
        ({"mrn": "", "given": "Hask", "surname": "Zubrix"}, Same.OTHER),
        ({"mrn": "812", "given": "Hask"}, Same.OTHER),
        # MRN unknown, surnames agree, a given name is missing
        ({"mrn": "", "given": "", "birth_date": ""}, Same.MAYBE),
        ({"mrn": "", "given": ""}, Same.MAYBE),
        ({"mrn": "", "given": "", "birth_date": "1987-04-08"}, Same.OTHER),
        ({"mrn": "", "given": "Hask", "birth_date": ""}, Same.OTHER),
        ({"mrn": "812", "given": "", "birth_date": ""}, Same.OTHER),
    ],
)
def test_who_is_the_same_person(change: dict[str, str], expected: Same) -> None:
    assert compare(FULL, replace(FULL, other_names=(), **change)) is expected


def test_two_people_without_given_names_can_be_the_same() -> None:
    mononym = make_person("Quellmotz", birth_date="1987-04-09")
    assert compare(mononym, mononym) is Same.SAME
    assert compare(mononym, make_person("Quellmotz", "Mirx", birth_date="1987-04-09")) is Same.MAYBE
    assert compare(make_person("Quellmotz"), make_person("Quellmotz")) is Same.MAYBE


def test_merging_fills_in_and_keeps_other_spellings() -> None:
    known = make_person("Quellmotz", "Mirx")
    new = make_person("Trellwick", "Ösilda", ["Zubrix", "quellmotz"], "77", "1990-01-31")
    assert merge(known, new) == Person("Quellmotz", "Mirx", ("Trellwick", "Ösilda", "Zubrix"), "77", "1990-01-31")
    assert merge(merge(known, new), new) == merge(known, new)
    assert merge(known, make_person("QUELLMOTZ")) == known
    assert merge(make_person("Quellmotz"), make_person("Quellmotz", "Mirx")) == known


def test_a_corrected_record_number_keeps_the_former_one_as_another_name() -> None:
    known = make_person("Quellmotz", "Mirx", mrn="77", birth_date="1990-01-31")
    new = replace(known, mrn="78", birth_date="1990-01-30")
    merged = merge(known, new)
    assert merged == Person("Quellmotz", "Mirx", ("77",), "78", "1990-01-30")
    assert compare(merged, replace(merged, mrn="77", other_names=())) is Same.SAME
    assert merge(merged, replace(merged, mrn="77", other_names=())) == merged


def test_texts_are_composed_and_without_needless_space() -> None:
    person = make_person(" Vra\u0302nk  Ol ", "\u00a0Mirx", "Zubrix; ,Hask,Zubrix", " 0 1 ", date(1990, 1, 31))
    assert person == Person("Vrânk Ol", "Mirx", ("Zubrix", "Hask"), "0 1", "1990-01-31")
    assert make_person("a", other_names=["Zubrix", "Hask; Olm"]).other_names == ("Zubrix", "Hask", "Olm")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"surname": ""}, "surname is missing"),
        ({"surname": " \u00a0"}, "surname is missing"),
        ({"surname": "-"}, "surname holds neither"),
        ({"surname": "Quell\tmotz"}, "surname holds a control"),
        ({"given": "Mi\x1b[1mrx"}, "given holds a control"),
        ({"given": "Mi\u200brx"}, r"given holds a control or invisible character \(U\+200B, character 3\)"),
        ({"given": "Mi\nrx"}, "given holds a control"),
        ({"mrn": "1\u20282"}, "mrn holds a control"),
        ({"mrn": "\udcff1"}, "mrn holds a control"),
        ({"mrn": "??"}, "mrn holds neither"),
        ({"surname": "Quellmotz, Mirx"}, "surname holds a comma"),
        ({"other_names": "Zubrix; --"}, "other_names holds a name with neither"),
        ({"other_names": ["Zub\x00rix"]}, "other_names holds a control"),
        ({"birth_date": "9.4.1987"}, "year-month-day"),
        ({"birth_date": "19870409"}, "year-month-day"),
        ({"birth_date": "1987-4-9"}, "year-month-day"),
        ({"birth_date": "1987-02-30"}, "year-month-day"),
        ({"birth_date": "١٩٨٧-٠٤-٠٩"}, "year-month-day"),
        ({"birth_date": (datetime.now(UTC).date() + timedelta(days=9)).isoformat()}, "future"),
    ],
)
def test_data_that_cannot_be_right_is_refused_by_field_and_not_repeated(fields: dict[str, str], message: str) -> None:
    with pytest.raises(BadPerson, match=message) as caught:
        make_person(**{"surname": "Quellmotz", **fields})  # type: ignore[arg-type]
    assert "uell" not in str(caught.value)
