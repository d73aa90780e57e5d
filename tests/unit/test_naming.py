"""Coded names: total, injective or refused, and free of everything that a raw name holds. All names made up."""

import os
import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.naming import (
    KINDS,
    KNOWN_EXTENSIONS,
    SESSION_EXTENSIONS,
    NameCollision,
    NotACode,
    Unit,
    coded_tree,
    require_code,
)

SESSION = "df5c5206_3"
CODED = re.compile(
    rf"(?:(?:decimated|{SESSION}_d[0-9]{{3,}})/)*"
    rf"{SESSION}(?:(?:_[0-9]{{3,4}})?\.(?:{'|'.join(SESSION_EXTENSIONS)})|_x[0-9]{{3,}}\.(?:{'|'.join(KNOWN_EXTENSIONS)}))",
    re.IGNORECASE | re.ASCII,
)

# File names as Linux has them: any bytes but `/` and NUL.
raw_bytes = st.binary(min_size=1, max_size=12).map(lambda data: data.replace(b"/", b"_").replace(b"\0", b"_"))
any_names = raw_bytes.filter(lambda data: data not in (b".", b"..")).map(os.fsdecode)
likely_names = st.from_regex(
    r"(Quellmötz|quellmötz|Quellmo\u0308tz|Z)?(~ Mirx)?(_[0-9]{1,5}|_x00[12]|\(2\))?"
    r"(\.(avi|AVI|erd|vt2|doc|old|xyz|erd\.old))?",
    fullmatch=True,
).filter(lambda name: name not in ("", ".", ".."))
folder_names = st.sampled_from(["decimated", "Decimated", "Quellmötz", "x", "df5c5206_3_d001"]) | any_names
paths = st.builds(
    lambda folders, name: "/".join([*folders, name]), st.lists(folder_names, max_size=2), any_names | likely_names
)


def tree(paths: set[str]) -> set[str]:
    """Those of `paths` that can exist together: no file is a folder of another."""
    return {path for path in paths if not any(other.startswith(path + "/") for other in paths)}


trees = st.sets(paths, max_size=12).map(tree)


@settings(max_examples=50)
@given(trees)
def test_every_tree_gets_coded_names_one_for_each_file_or_is_refused(raw: set[str]) -> None:
    try:
        coded = coded_tree(raw, SESSION)
    except NameCollision as error:
        refused = error
        coded = {}
    if not coded and raw:
        assert refused.first != refused.second
        assert {refused.first, refused.second} <= raw
        assert CODED.fullmatch(refused.coded)
        assert str(refused) == f"two raw names would both become {refused.coded}: rename or exclude one of them"
        return
    assert coded.keys() == raw
    assert len({name.casefold() for name in coded.values()}) == len(raw)
    assert all(CODED.fullmatch(name) for name in coded.values())


def other_case(path: str) -> str:
    return path.swapcase()


def decomposed(path: str) -> str:
    return unicodedata.normalize("NFD", path)


def other_stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}Hask{name}"


def backup(path: str) -> str:
    return f"{path}.old"


def below(path: str) -> str:
    return f"decimated/{path}"


def document(path: str) -> str:
    return f"{path}.doc"


TAIL = re.compile(rf"(?:_[0-9]{{3,4}})?\.(?:{'|'.join(SESSION_EXTENSIONS)})\Z", re.IGNORECASE)


@settings(max_examples=200)
@given(
    st.builds("/".join, st.tuples(folder_names, likely_names)) | likely_names,
    st.lists(st.sampled_from([other_case, decomposed, other_stem, backup, below, document]), min_size=1, max_size=2),
)
def test_twins_get_two_names_or_are_refused_and_nothing_else_is(path: str, changes: list[Callable[[str], str]]) -> None:
    twin = path
    for change in changes:
        twin = change(twin)
    raw = tree({path, twin})
    coded: dict[str, str] = {}
    refused: set[str] = set()
    try:
        coded = coded_tree(raw, SESSION)
    except NameCollision as error:
        refused = {error.first, error.second}
    if refused:
        # Refused is only what has one tail in one folder, whatever its stem; a name without a tail is counted instead.
        tails = [TAIL.search(one.rpartition("/")[2]) for one in raw]
        assert refused == raw
        assert all(tails)
        assert len({match[0].casefold() for match in tails if match}) == 1
        return
    assert coded.keys() == raw
    assert len({name.casefold() for name in coded.values()}) == len(raw)


@settings(max_examples=50)
@given(trees, st.randoms())
def test_the_order_in_which_names_come_changes_nothing(raw: set[str], random) -> None:
    shuffled = sorted(raw)
    random.shuffle(shuffled)
    outcomes = []
    for some in (sorted(raw), shuffled):
        try:
            outcomes.append(coded_tree(some, SESSION))
        except NameCollision as collision:
            outcomes.append(str(collision))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=50)
@given(trees, trees)
def test_names_given_before_are_kept_when_files_come_and_go(first: set[str], second: set[str]) -> None:
    later = tree(first | second)
    try:
        before = coded_tree(first, SESSION)
        after = coded_tree(later, SESSION, before)
    except NameCollision:
        return
    assert all(after[path] == before[path] for path in first & later)


@settings(max_examples=50)
@given(trees)
def test_what_is_coded_twice_gets_the_same_names(raw: set[str]) -> None:
    try:
        once = coded_tree(raw, SESSION)
    except NameCollision:
        return
    assert coded_tree(raw, SESSION, once) == once


def test_the_allowed_tail_is_kept_and_everything_else_is_counted() -> None:
    raw = ["Quellmotz.eeg", "Quellmotz_001.erd", "Quellmotz_0012.AVI", "Quellmotz~ Mirx.doc", "Quellmotz_001.erd.old"]
    raw += ["decimated/Quellmotz_0012.avi", "Mirx/notes", "Mirx/Quellmotz_1.avi", "Quellmotz_12345.avi"]
    assert coded_tree(raw, SESSION) == {
        "Quellmotz.eeg": "df5c5206_3.eeg",
        "Quellmotz_001.erd": "df5c5206_3_001.erd",
        "Quellmotz_0012.AVI": "df5c5206_3_0012.AVI",
        "Quellmotz~ Mirx.doc": "df5c5206_3_x002.doc",
        "Quellmotz_001.erd.old": "df5c5206_3_x001.old",
        "decimated/Quellmotz_0012.avi": "decimated/df5c5206_3_0012.avi",
        "Mirx/notes": "df5c5206_3_d001/df5c5206_3_x001.dat",
        "Mirx/Quellmotz_1.avi": "df5c5206_3_d001/df5c5206_3.avi",
        "Quellmotz_12345.avi": "df5c5206_3.avi",
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Quellmotz_0001.avi", "Mirx_0001.avi"),
        ("Quellmotz_0001.avi", "Quellmotz_0001.AVI"),
        ("Quellmo\u0308tz_0001.avi", "Quellm\u00f6tz_0001.avi"),
        ("decimated/a_001.avi", "Decimated/a_001.avi"),
        (os.fsdecode(b"Quellm\xf6tz_0001.avi"), "Quellmötz_0001.avi"),
    ],
)
def test_two_names_for_one_coded_name_are_refused_without_repeating_them(first: str, second: str) -> None:
    with pytest.raises(NameCollision) as caught:
        coded_tree([first, second], SESSION)
    assert {caught.value.first, caught.value.second} == {first, second}
    assert "uellm" not in str(caught.value)


def test_a_newline_behind_an_extension_is_no_extension() -> None:
    coded = coded_tree(["a.avi", "a.avi\n"], SESSION)
    assert coded == {"a.avi": "df5c5206_3.avi", "a.avi\n": "df5c5206_3_x001.dat"}


def test_numbers_beyond_999_and_of_former_files_are_not_given_again() -> None:
    previous = {f"{n}.xyz": f"df5c5206_3_x{n:03d}.dat" for n in range(1, 1001)}
    coded = coded_tree(["new.xyz"], SESSION, previous)
    assert coded == {"new.xyz": "df5c5206_3_x1001.dat"}


@given(st.text(max_size=20))
def test_a_text_is_a_unit_only_if_it_is_written_as_one(text: str) -> None:
    try:
        unit = Unit.parse(text)
    except NotACode:
        return
    assert str(unit) == text


@given(st.from_regex("[a-f][0-9a-f]{7}", fullmatch=True), st.integers(1, 10**9), st.sampled_from(KINDS))
def test_units_are_read_as_they_were_written(code: str, number: int, kind: str) -> None:
    assert Unit.parse(str(Unit(code, number, kind))) == Unit(code, number, kind)


@pytest.mark.parametrize("text", ["Quellmotz", "abcdef0", "0f5c5207", "abcdef01\n", "ABCDEF01", "abcdef01_1"])
def test_what_is_no_code_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(NotACode) as caught:
        require_code(text)
    assert text not in str(caught.value)
