"""What is found in a raw folder, however it is laid out: nothing in it is passed over in silence. All names made up."""

import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.intake.find import Item, RawFile, find, item_files, stem
from ecogvault.naming import coded_tree
from ecogvault.person import Person
from ecogvault.sandbox import made_natus

VTC = "\n" * 10 + "Quellmotz_0001.avi [02/03/2021 17:05:11.000]\n"
SNC = "\n" * 8 + "1\t132000000000000000\n2\t132000000010000000\n"


def make(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text({"vtc.txt": VTC, "snc.txt": SNC}.get(path.name[-7:], "x"))
    return root


def seen(root: Path) -> dict[str, str]:
    """Role of each item by path."""
    found = find(root, 1)
    assert [item.path for item in found] == sorted(item.path for item in found)
    assert len({(item.path, item.role) for item in found}) == len(found)
    return {item.path: item.role for item in found}


def test_recordings_session_folders_and_texts_are_found_at_any_depth(tmp_path: Path) -> None:
    make(
        tmp_path, "A.edf", "a/b/B.BDF", "a/b/Quellmotz/Q.eeg", "a/b/Quellmotz/Q_0001.avi", "t/Q_vtc.txt", "t/Q_snc.txt"
    )
    assert seen(tmp_path) == {
        "A.edf": "edf",
        "a/b/B.BDF": "bdf",
        "a/b/Quellmotz": "vid",
        "t/Q_vtc.txt": "vtc",
        "t/Q_snc.txt": "snc",
    }
    folder = next(item for item in find(tmp_path, 1) if item.role == "vid")
    assert [file.path for file in folder.files] == ["Q.eeg", "Q_0001.avi"]


def test_the_tables_of_a_session_folder_are_items_if_they_are_known_and_named_if_not(tmp_path: Path) -> None:
    make(tmp_path, "a/Q.eeg", "b/Q.eeg", "b/Q.snc", "c/Q.eeg", "c/Q.snc", "c/Q_001.snc", "d/Q.eeg", "d/deeper/Q.vtc")
    generator = random.Random(1)
    start = datetime(2021, 3, 2, tzinfo=UTC)
    snc = made_natus.snc_bytes(Person("Quellmotz"), start, generator, rows=2, samples_per_second=256)
    (tmp_path / "a" / "any.SNC").write_bytes(snc)
    (tmp_path / "a" / "any.vtc").write_bytes(made_natus.vtc_bytes([("Q_0001.avi", start)], 60))
    (tmp_path / "d" / "Q.snc").write_bytes(snc[:16] + b"\7\0" + snc[18:])
    (tmp_path / "d" / "Q.vtc").write_bytes(b"x" * 20)
    found = {item.path: (item.role, item.note, item.stem) for item in find(tmp_path, 1) if item.role != "vid"}
    assert found == {
        "a/any.SNC": ("snc", "", "a"),
        "a/any.vtc": ("vtc", "", "a"),
        "b/Q.snc": ("unread", "a damaged .snc", "b"),
        "c/Q.snc": ("unread", "two .snc files", "c"),
        "c/Q_001.snc": ("unread", "two .snc files", "c"),
        "d/Q.snc": ("unread", "unknown: schema 7 of .snc", "d"),
        "d/Q.vtc": (
            "unread",
            f"unknown: file type {'78' * 4}-{'78' * 2}-{'78' * 2}-{'78' * 2}-{'78' * 6} of .vtc",
            "d",
        ),
    }


def test_an_empty_raw_folder_holds_nothing_and_an_empty_folder_in_it_is_named(tmp_path: Path) -> None:
    assert seen(tmp_path) == {}
    (tmp_path / "a" / "Quellmotz").mkdir(parents=True)
    make(tmp_path, "b/Thumbs.db", "c/._x", "d/.DS_Store")
    assert seen(tmp_path) == {"a/Quellmotz": "empty", "b": "empty", "c": "empty", "d": "empty"}


def test_a_raw_folder_that_is_itself_a_session_folder_is_one_item_beside_its_recordings(tmp_path: Path) -> None:
    make(tmp_path, "Q.eeg", "Q_0001.avi", "Q.edf", "decimated/Q_0001.avi", "notes.txt")
    assert seen(tmp_path) == {".": "vid", "Q.edf": "edf"}
    folder = next(item for item in find(tmp_path, 1) if item.role == "vid")
    assert [file.path for file in folder.files] == ["Q.eeg", "Q_0001.avi", "decimated/Q_0001.avi", "notes.txt"]


def test_recordings_inside_session_folders_are_items_of_their_own_at_any_depth(tmp_path: Path) -> None:
    make(tmp_path, "Q/Q.eeg", "Q/Q.edf", "Q/sub/deep/P.edf", "Q/sub/deep/p.txt")
    assert seen(tmp_path) == {"Q": "vid", "Q/Q.edf": "edf", "Q/sub/deep/P.edf": "edf"}
    folder = next(item for item in find(tmp_path, 1) if item.role == "vid")
    assert [file.path for file in folder.files] == ["Q.eeg", "sub/deep/p.txt"]


@pytest.mark.parametrize("place", ["", "export/"])
def test_loose_videos_beside_session_folders_are_reported_and_swallow_no_session(tmp_path: Path, place: str) -> None:
    make(tmp_path, f"{place}Loose.avi", f"{place}Q/Q.eeg", f"{place}P/P.eeg", f"{place}report.pdf")
    found = seen(tmp_path)
    assert found == {
        f"{place}Loose.avi": "other",
        f"{place}P": "vid",
        f"{place}Q": "vid",
        f"{place}report.pdf": "other",
    }


def test_a_folder_of_videos_alone_is_a_session_folder_with_its_vendor_folder(tmp_path: Path) -> None:
    make(tmp_path, "Q/Q_0001.avi", "Q/Decimated/Q_0001.avi", "Q/papers/x.pdf")
    assert seen(tmp_path) == {"Q": "vid"}


def test_links_are_never_followed_and_always_reported(tmp_path: Path) -> None:
    root = make(tmp_path / "raw", "Q/Q.eeg", "sub/readme")
    make(tmp_path, "elsewhere/P.edf")
    (root / "loop").symlink_to(root)
    (root / "Q" / "loop").symlink_to(root / "Q")
    (root / "Q" / "Q_0001.avi").symlink_to(tmp_path / "elsewhere" / "P.edf")
    (root / "P.edf").symlink_to(tmp_path / "elsewhere" / "P.edf")
    (root / "broken.edf").symlink_to(tmp_path / "nowhere")
    (root / "only").mkdir()
    (root / "only" / "link").symlink_to(root)
    os.mkfifo(root / "pipe.edf")
    assert seen(root) == {
        "Q": "vid",
        "Q/loop": "link",
        "Q/Q_0001.avi": "link",
        "P.edf": "link",
        "broken.edf": "link",
        "loop": "link",
        "only/link": "link",
        "pipe.edf": "link",
        "sub/readme": "other",
    }


def test_a_folder_that_cannot_be_read_stops_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/A.edf", "b/B.edf")
    listed = os.scandir

    def refusing(path: object) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError):
        find(tmp_path, 1)


def test_names_that_are_not_utf8_are_found_and_read(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/Quellm\xf6tz"
    os.mkdir(folder)
    for name in (b"Q\xff_0001.avi", b"Q\xff.eeg", b"new\nline\t.doc"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"x")
    (item,) = find(tmp_path, 1)
    assert os.fsencode(item.path) == b"Quellm\xf6tz"
    assert {os.fsencode(file.path) for file in item.files} == {b"Q\xff_0001.avi", b"Q\xff.eeg", b"new\nline\t.doc"}
    assert item_files(tmp_path, item.role, item.path) == item.files


def test_an_item_is_gone_when_its_file_its_folder_or_all_its_files_are(tmp_path: Path) -> None:
    make(tmp_path, "Q/Q.eeg", "A.edf")
    for item in find(tmp_path, 1):
        assert item_files(tmp_path, item.role, item.path) == item.files
    (tmp_path / "Q/Q.eeg").unlink()
    (tmp_path / "A.edf").unlink()
    for role, path in (("vid", "Q"), ("edf", "A.edf"), ("vid", "nothing")):
        with pytest.raises(FileNotFoundError):
            item_files(tmp_path, role, path)


def test_size_and_newest_time_are_those_of_all_files() -> None:
    item = Item(1, "vid", "Q", (RawFile("a", 3, 5), RawFile("b", 4, 9), RawFile("c", 0, 7)))
    assert (item.size, item.newest_ns) == (7, 9)
    assert (Item(1, "link", "x", ()).size, Item(1, "link", "x", ()).newest_ns) == (0, 0)


@pytest.mark.parametrize(
    ("role", "path", "wanted"),
    [
        ("edf", "a/Quellmotz.Long.EDF", "quellmotz.long"),
        ("vid", "a/Quellmotz.Long", "quellmotz.long"),
        ("snc", "Quellmotz_SNC.txt", "quellmotz"),
        ("vtc", "Quellmotz-vtc.txt", "quellmotz"),
        ("vtc", "Quellmotz.txt", "quellmotz"),
        ("vid", "Quellmotz_snc", "quellmotz_snc"),
        ("edf", ".edf", ".edf"),
    ],
)
def test_what_belongs_together_has_one_stem(role: str, path: str, wanted: str) -> None:
    assert stem(role, path) == wanted


names = st.sampled_from(["Q.eeg", "Q_0001.avi", "A.edf", "B.bdf", "x.txt", "v_vtc.txt", "readme", "Thumbs.db", "d.doc"])
trees = st.sets(
    st.builds(lambda folders, name: "/".join([*folders, name]), st.lists(st.sampled_from("abc"), max_size=3), names),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(files=trees)
def test_every_file_but_litter_is_in_exactly_one_item(
    files: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = make(tmp_path_factory.mktemp("raw"), *files)
    held: list[str] = []
    for item in find(root, 1):
        for file in item.files:
            inside = "" if item.path == "." else f"{item.path}/"
            held.append(item.path if file.path == "." else inside + file.path)
    assert sorted(held) == sorted(name for name in files if not name.endswith("Thumbs.db"))


def test_a_session_folder_of_20000_files_is_found_and_coded_in_a_second_or_two(tmp_path: Path) -> None:
    folder = tmp_path / "Q"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(20_000):
        name = f"Q_{number:04d}.avi" if number < 5_000 else f"clip {number}.old"
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    begun = time.process_time()
    (item,) = find(tmp_path, 1)
    coded = coded_tree([file.path for file in item.files], "df5c5206_1")
    assert coded_tree([file.path for file in item.files], "df5c5206_1", coded) == coded
    assert len(set(coded.values())) == 20_000
    assert time.process_time() - begun < 4
