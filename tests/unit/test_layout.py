"""Object keys: what a layout that is accepted can never do is give two files one key."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.config import ConfigError, Destination
from ecogvault.layout import check, excluded, file_key, manifest_key, statement_key, tarball_key
from ecogvault.manifest import Entry, Manifest
from ecogvault.naming import Unit

VID = Unit("df5c5206", 3, "vid")
EDF = Unit("df5c5206", 3, "edf")
SYNC = Unit("df5c5206", 3, "sync")


def destination(**settings: object) -> Destination:
    return Destination("here", {"type": "folder", "zone": "inside", "form": "files", "path": "x", **settings})


def checked(**settings: object) -> Destination:
    found = destination(**settings)
    check([found])
    return found


def test_default_keys_are_those_of_the_design() -> None:
    s3 = checked(type="s3", zone="outside", bucket="b")
    assert file_key(s3, VID, 1, "vid/df5c5206_3/decimated/df5c5206_3_0001.avi") == (
        "df5c5206/df5c5206_3/decimated/df5c5206_3_0001.avi.age"
    )
    plain = checked(type="s3", zone="outside", bucket="b", encrypt={"vid": True, "edf": False, "sync": False})
    assert file_key(plain, EDF, 1, "edf/df5c5206_3.edf") == "df5c5206_edf/df5c5206_3.edf"
    assert file_key(plain, SYNC, 1, "vtc/df5c5206_3.txt") == "df5c5206_sync/vtc/df5c5206_3.txt"
    assert file_key(plain, Unit("df5c5206", 3, "bdf"), 1, "bdf/df5c5206_3.bdf") == "df5c5206_edf/df5c5206_3.bdf"
    assert tarball_key(checked(form="tarball"), VID, 2) == "df5c5206/df5c5206_3_vid.g2.tar.zst.age"
    assert statement_key(VID, 2) == "df5c5206/df5c5206_3_vid.g2.statement.json"
    assert manifest_key(VID, 2) == "df5c5206/df5c5206_3_vid.g2.manifest.age"


def test_the_preset_of_the_nas_is_that_of_the_design() -> None:
    nas = checked(layout="nas")
    assert file_key(nas, EDF, 1, "edf/df5c5206_3.edf") == "edf/df5c5206/df5c5206_3.edf"
    assert file_key(nas, VID, 1, "vid/df5c5206_3/df5c5206_3.eeg") == "video/df5c5206/df5c5206_3/df5c5206_3.eeg"
    assert file_key(nas, SYNC, 1, "snc/df5c5206_3.txt") == "snc/df5c5206/df5c5206_3.txt"


@pytest.mark.parametrize(
    ("form", "layout"),
    [
        ("files", "{code}/{n}"),
        ("files", {"sync": "sync/{file}"}),
        ("files", {"vid": "vid/{code}"}),
        ("files", "{file}"),
        ("tarball", "{unit}.age"),
        ("tarball", "{code}.{g}"),
        ("tarball", "{code}/{n}{g}"),
        ("tarball", {"vid": "x/{code}/{n}{g}"}),
        ("tarball", "{code}/{unit}.g{g}.statement.json"),
        ("tarball", "HOW-TO-OPEN.txt"),
        ("files", {"vid": "{code}/{unit}.g{g}.manifest.age"}),
        ("files", {"edf": "a/{code}/{n}", "vid": "a/{code}/{n}/{file}"}),
        ("tarball", "nas"),
    ],
)
def test_a_layout_in_which_two_files_could_have_one_key_is_refused(form: str, layout: object) -> None:
    with pytest.raises(ConfigError, match=r"^destinations\.here\.layout"):
        checked(form=form, layout=layout)


@pytest.mark.parametrize(
    "layout", ["/{unit}{g}", "a//{unit}{g}", "../{unit}{g}", "./{unit}{g}", "{unit}{g}/", "{name}"]
)
def test_a_template_that_is_no_key_is_refused(layout: str) -> None:
    with pytest.raises(ConfigError, match=r"^destinations\.here\.layout"):
        checked(form="tarball", layout=layout)


@pytest.mark.parametrize("layout", ["{unit}{g}{", "{unit}{g}}", "{{unit}}{g}", "{unit.__class__}{g}", "{}{unit}{g}"])
def test_a_template_with_anything_but_its_fields_is_refused(layout: str) -> None:
    with pytest.raises(ConfigError, match="a template knows only"):
        checked(form="tarball", layout=layout)


pieces = st.sampled_from(
    ["{code}", "{n}", "{unit}", "{g}", "{file}", "{snc|vtc}", "/", ".", "-", "1", "g", "edf", "a", ".edf", "_"]
)
templates = st.lists(pieces, min_size=1, max_size=6).map("".join)
numbers = st.integers(1, 30) | st.sampled_from([111, 1111])
codes = st.sampled_from(["a1000000", "a1000001", "b1000000"])


@st.composite
def files(draw: st.DrawFn) -> tuple[Unit, int, str]:
    kind = draw(st.sampled_from(["edf", "bdf", "vid", "sync"]))
    unit = Unit(draw(codes), draw(numbers), kind)
    if kind == "vid":
        folder = draw(st.sampled_from(["", "decimated/", f"{unit.session}_d001/"]))
        rest = draw(st.sampled_from([".eeg", "_001.erd", "_0011.avi", "_x001.dat", "_x001.txt"]))
        path = f"vid/{unit.session}/{folder}{unit.session}{rest}"
    elif kind == "sync":
        path = draw(st.sampled_from(["snc/", "vtc/"])) + f"{unit.session}.txt"
    else:
        path = f"{kind}/{unit.session}.{kind}"
    return unit, draw(numbers), path


@settings(max_examples=300)
@given(
    st.one_of(templates, st.just("nas"), st.dictionaries(st.sampled_from(["edf", "bdf", "vid", "sync"]), templates)),
    st.sampled_from(["files", "tarball"]),
    st.lists(files(), min_size=2, max_size=8, unique_by=str),
)
def test_a_layout_that_is_accepted_never_gives_two_files_one_key(
    layout: str | Mapping[str, str], form: str, some: list[tuple[Unit, int, str]]
) -> None:
    try:
        found = checked(form=form, layout=layout)
    except ConfigError:
        return
    owners: dict[str, object] = {}
    for unit, generation, path in some:
        owner: object = (unit, generation) if form == "tarball" else path
        key = tarball_key(found, unit, generation) if form == "tarball" else file_key(found, unit, generation, path)
        assert owners.setdefault(key, owner) == owner
        assert owners.setdefault(statement_key(unit, generation), ("statement", unit, generation)) != owner
        assert re.fullmatch(r"[!-~]+", key)


def test_what_a_destination_excludes_is_known_by_file_name_alone() -> None:
    names = [
        "vid/df5c5206_3/df5c5206_3_x001.doc",
        "vid/df5c5206_3/df5c5206_3_x002.DOC",
        "vid/df5c5206_3/df5c5206_3.eeg",
    ]
    manifest = Manifest.of(Entry(name, 0, "0" * 64) for name in names)
    assert excluded(destination(exclude={"vid": ["*.doc"]}), VID, manifest) == names[:2]
    assert excluded(destination(exclude=["*.doc", "*.eeg"]), VID, manifest) == [entry.path for entry in manifest]
    assert excluded(destination(exclude={"edf": ["*"]}), VID, manifest) == []
    assert excluded(destination(exclude=["*"], form="tarball"), VID, manifest) == []
