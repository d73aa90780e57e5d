"""Registering: one person, one code; one folder, one part. All names are made up."""

import multiprocessing
import os
import re
from pathlib import Path

import pytest

from ecogvault import registry
from ecogvault.config import check
from ecogvault.errors import Damaged
from ecogvault.person import Person
from ecogvault.private import Private, open_private
from ecogvault.registry import RegistryRefused, make_person, register
from ecogvault.registry import enrol as enrol_module

MIRX = make_person("Quellmotz", "Mirx", birth_date="1987-04-09")
HASK = make_person("Trellwick", "Hask", mrn="77")


def everything(_raw: Path, _person: Person) -> str:
    return registry.EVERYTHING


def surname(_raw: Path, _person: Person) -> str:
    return registry.SURNAME


@pytest.fixture
def private(tmp_path: Path) -> Private:
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path / "nas")}
    return open_private(check({"private": str(tmp_path / "private"), "destinations": {"nas": nas}}), create=True)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "export Quellmotz \udcff"
    folder.mkdir()
    return folder


def enrol(
    private: Private, person: Person, raw: Path | None = None, match: str | None = None, code: str | None = None
) -> str:
    return register(private, person, raw, match, code=code, decide_match=surname)


def test_a_new_person_gets_a_random_code_and_arrives(private: Private) -> None:
    code = enrol(private, MIRX)
    assert re.fullmatch("[a-f][0-9a-f]{7}", code)
    (subject,) = registry.load(private)
    assert (subject.code, subject.status, subject.person) == (code, "arriving", MIRX)
    assert -3652 <= subject.shift_days <= -366
    assert str(subject.shift_days) not in repr(subject)
    assert subject.registered.endswith("Z")
    assert registry.persons(private) == [MIRX]
    assert registry.parts(private, code) == []
    assert (private.root / "subjects.tsv").stat().st_mode & 0o777 == 0o600


def test_the_same_name_in_another_registry_gets_another_code(tmp_path: Path) -> None:
    codes = []
    for number in range(3):
        nas = {"type": "folder", "zone": "inside", "form": "files", "path": "nas"}
        config = check({"private": str(tmp_path / str(number)), "destinations": {"nas": nas}})
        codes.append(enrol(open_private(config, create=True), MIRX))
    assert len(set(codes)) == 3


def test_a_code_is_never_one_in_use_and_never_spells_a_name(private: Private, monkeypatch: pytest.MonkeyPatch) -> None:
    first = enrol(private, HASK)
    private.folder("b0000000")
    drawn = iter([first, "b0000000", "abbadec0", "c1111111"])
    monkeypatch.setattr(enrol_module, "_draw", lambda: next(drawn))
    assert enrol(private, make_person("Abbadec", "Olm")) == "c1111111"


def test_the_same_person_again_gets_the_same_code_and_missing_data_are_filled_in(private: Private) -> None:
    code = enrol(private, MIRX)
    assert enrol(private, make_person("QUELLMOTZ", "mirx", "Zubrix", "812", "1987-04-09")) == code
    (subject,) = registry.load(private)
    assert subject.person == Person("Quellmotz", "Mirx", ("Zubrix",), "812", "1987-04-09")
    assert enrol(private, make_person("Zubrix", mrn="812")) == code
    assert enrol(private, HASK) != code
    assert [subject.person.surname for subject in registry.load(private)] == ["Quellmotz", "Trellwick"]


def test_a_partial_match_is_refused_until_somebody_says_who_it_is(private: Private) -> None:
    code = enrol(private, MIRX)
    doubtful = make_person("Quellmotz", "Mirx", birth_date="1990-01-31")
    before = (private.root / "subjects.tsv").read_bytes()
    with pytest.raises(RegistryRefused, match=f"agree with {code}.*--code CODE.*--code new") as caught:
        enrol(private, doubtful)
    assert "uell" not in str(caught.value)
    assert (private.root / "subjects.tsv").read_bytes() == before
    other = enrol(private, doubtful, code="new")
    assert other != code
    assert enrol(private, make_person("Quellmotz"), code=code) == code
    assert enrol(private, make_person("Holm", "Mirx", birth_date="1987-04-09"), code=code) == code
    assert [subject.person for subject in registry.load(private)] == [
        Person("Quellmotz", "Mirx", ("Holm",), "", "1987-04-09"),
        doubtful,
    ]


@pytest.mark.parametrize(
    ("person", "code", "message"),
    [
        (MIRX, "new", "already registered, as {mirx}"),
        (MIRX, "{hask}", "registered as {mirx}, not as {hask}"),
        (make_person("Zubrix"), "{mirx}", "too little in common with {mirx}"),
        (MIRX, "a0000000", "no subject has the code a0000000"),
        (MIRX, "Quellmotz", "a code is a letter"),
    ],
)
def test_a_code_that_contradicts_the_data_is_refused(private: Private, person: Person, code: str, message: str) -> None:
    codes = {"mirx": enrol(private, MIRX), "hask": enrol(private, HASK)}
    with pytest.raises(RegistryRefused, match=message.format(**codes)) as caught:
        enrol(private, person, code=code.format(**codes))
    assert "Quellmotz" not in str(caught.value)


def test_data_that_agree_with_two_people_need_a_code(private: Private) -> None:
    codes = [enrol(private, MIRX), enrol(private, make_person("Quellmotz", "Olm", mrn="5"))]
    both = make_person("Quellmotz", "Mirx", "Olm", "5", "1987-04-09")
    with pytest.raises(RegistryRefused, match=f"{codes[0]} and {codes[1]}: say which"):
        enrol(private, both)
    assert enrol(private, both, code=codes[1]) == codes[1]


def test_folders_become_parts_once_each(private: Private, raw: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    code = enrol(private, MIRX, raw)
    assert enrol(private, MIRX, second, "*_x*") == code
    assert enrol(private, MIRX, raw / ".." / raw.name) == code
    (tmp_path / "link").symlink_to(raw)
    assert enrol(private, MIRX, tmp_path / "link") == code
    found = registry.parts(private, code)
    assert [(part.part, part.path, part.match) for part in found] == [(1, raw, "@surname"), (2, second, "*_x*")]
    assert os.fsencode(found[0].path) == os.fsencode(raw)
    assert "Quellmotz" not in repr(found)
    enrol(private, MIRX, raw, "Quell*")
    assert [part.match for part in registry.parts(private, code)] == ["Quell*", "*_x*"]


def test_a_relative_folder_is_stored_absolute(private: Private, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(raw.parent)
    (part,) = registry.parts(private, enrol(private, MIRX, Path(raw.name)))
    assert part.path == raw


def test_an_undecided_folder_is_decided_when_it_is_registered_again(private: Private, raw: Path) -> None:
    code = register(private, MIRX, raw, None, decide_match=lambda *_: registry.AUTO)
    assert registry.parts(private, code)[0].match == "auto"
    enrol(private, MIRX, raw)
    assert registry.parts(private, code)[0].match == "@surname"
    register(private, MIRX, raw, None, decide_match=everything)
    assert registry.parts(private, code)[0].match == "@surname"


def test_the_match_is_decided_with_all_that_is_known_of_the_person(private: Private, raw: Path) -> None:
    enrol(private, make_person("Quellmotz", "Mirx", "Zubrix", "5"))
    asked: list[Person] = []
    register(
        private, make_person("Quellmotz", mrn="5"), raw, None, decide_match=lambda _, one: asked.append(one) or "*"
    )
    assert [person.other_names for person in asked] == [("Zubrix",)]


def test_one_folder_is_not_wholly_two_peoples(private: Private, raw: Path) -> None:
    code = register(private, MIRX, raw, None, decide_match=everything)
    with pytest.raises(RegistryRefused, match=f"registered as {code}'s"):
        register(private, HASK, raw, None, decide_match=everything)
    assert len(registry.load(private)) == 1
    register(private, HASK, raw, None, decide_match=surname)


@pytest.mark.parametrize("where", ["missing", "file", "private", "private/deep", ".", "results/raw"])
def test_a_raw_folder_that_cannot_be_one_is_refused_without_its_path(
    private: Private, tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").touch()
    private.folder("deep")
    (tmp_path / "results" / "raw").mkdir(parents=True)
    with pytest.raises(RegistryRefused, match="raw folder"):
        register(
            private, MIRX, tmp_path / where, None, decide_match=everything, apart_from={"results": tmp_path / "results"}
        )
    assert registry.load(private) == []


@pytest.mark.parametrize("match", ["", " ", "@given", "a\tb"])
def test_a_pattern_that_cannot_be_one_is_refused(private: Private, raw: Path, match: str) -> None:
    with pytest.raises(RegistryRefused, match="pattern"):
        enrol(private, MIRX, raw, match)


def test_a_new_folder_reopens_a_closed_subject_and_leaves_an_open_one(
    private: Private, raw: Path, tmp_path: Path
) -> None:
    code = enrol(private, MIRX)
    registry.set_status(private, code, "open")
    enrol(private, MIRX, raw)
    assert registry.load(private)[0].status == "open"
    registry.set_status(private, code, "closed")
    enrol(private, MIRX, raw)
    assert registry.load(private)[0].status == "closed"
    (tmp_path / "more").mkdir()
    enrol(private, MIRX, tmp_path / "more")
    assert registry.load(private)[0].status == "arriving"


def test_an_erased_subject_takes_nothing(private: Private, raw: Path) -> None:
    code = enrol(private, MIRX)
    registry.set_status(private, code, "erased")
    with pytest.raises(RegistryRefused, match=f"{code} is erased"):
        enrol(private, MIRX, raw)


def test_status_and_code_are_checked(private: Private) -> None:
    code = enrol(private, MIRX)
    with pytest.raises(ValueError, match="arriving, open, closed, erased"):
        registry.set_status(private, code, "done")
    with pytest.raises(RegistryRefused, match="a0000000"):
        registry.set_status(private, "a0000000", "open")


def test_items_are_left_out_by_private_id(private: Private, raw: Path) -> None:
    code = enrol(private, MIRX, raw)
    registry.exclude(private, code, 1, ["i0123abcd", "i1"])
    registry.exclude(private, code, 1, ["i0123abcd"])
    assert registry.parts(private, code)[0].exclude == ("i0123abcd", "i1")
    with pytest.raises(RegistryRefused, match="no raw folder 2"):
        registry.exclude(private, code, 2, ["i1"])


def test_every_flipped_byte_of_the_tables_is_detected(private: Private, raw: Path) -> None:
    enrol(private, MIRX, raw)
    for name, read in (("subjects.tsv", registry.load), ("raw.tsv", registry.load_parts)):
        path = private.root / name
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(Damaged, match=name):
                read(private)
        path.write_bytes(whole)


def test_a_lost_table_of_subjects_is_not_an_empty_registry(private: Private, raw: Path) -> None:
    enrol(private, MIRX, raw)
    (private.root / "subjects.tsv").unlink()
    with pytest.raises(Damaged, match=r"subjects\.tsv is missing"):
        enrol(private, MIRX)


def _enrol_at_once(root: str, start: object) -> str:
    start.wait()  # type: ignore[attr-defined]
    return register(Private(Path(root)), MIRX, Path(root).parent / "raw", None, decide_match=everything)


def test_ten_processes_that_register_one_person_at_once_get_one_code(private: Private, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager, context.Pool(10) as pool:
        start = manager.Barrier(10)
        codes = pool.starmap(_enrol_at_once, [(str(private.root), start)] * 10)
    assert len(set(codes)) == 1
    assert len(registry.load(private)) == 1
    assert len(registry.parts(private, codes[0])) == 1
