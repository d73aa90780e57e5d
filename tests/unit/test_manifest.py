"""The manifest: sorted, safe, and every byte of it and of the files it lists counts."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.errors import Damaged
from ecogvault.manifest import COLUMNS, Entry, FileChanged, Manifest, check, entry_of, is_safe
from ecogvault.records import table_bytes

EMPTY = hashlib.sha256(b"").hexdigest()
parts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="/\\"), min_size=1).filter(
    lambda part: part not in (".", "..")
)
safe_paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
entries = st.builds(
    Entry, safe_paths, st.integers(0, 10**15), st.binary(max_size=4).map(lambda data: hashlib.sha256(data).hexdigest())
)
manifests = st.lists(entries, max_size=5, unique_by=lambda entry: entry.path)


@given(manifests, st.randoms())
def test_a_manifest_reads_back_as_written_in_whatever_order_it_was_made(made: list[Entry], random) -> None:
    shuffled = list(made)
    random.shuffle(shuffled)
    data = Manifest.of(made).to_bytes()
    assert Manifest.of(shuffled).to_bytes() == data
    again = Manifest.parse(data, what="m")
    assert again == Manifest.of(made)
    assert again.sha256 == hashlib.sha256(data).hexdigest()
    assert [entry.path for entry in again] == sorted(entry.path for entry in made)


@given(st.text(max_size=8))
def test_a_path_is_safe_only_if_it_stays_below_its_root(text: str) -> None:
    if is_safe(text):
        assert text.isascii()
        assert text.isprintable()
        assert not text.startswith("/")
        assert ".." not in text.split("/")
        assert Path("/a/b", text).resolve().is_relative_to("/a/b")
        assert str(Path(text)) == text


@pytest.mark.parametrize("path", ["", "/a", "a//b", "../a", "a/..", "./a", "a/", "a\\b", "é", "a\nb", "a\x7f", "a\tb"])
def test_an_unsafe_path_comes_neither_in_nor_out(path: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        Manifest.of([Entry(path, 0, EMPTY)])
    data = table_bytes("manifest", COLUMNS, [{"path": path, "size": "0", "sha256": EMPTY}])
    with pytest.raises(Damaged):
        Manifest.parse(data, what="m")


@pytest.mark.parametrize(
    "rows",
    [
        [("b", "0", EMPTY), ("a", "0", EMPTY)],
        [("a", "0", EMPTY), ("a", "1", EMPTY)],
        [("a", "01", EMPTY)],
        [("a", "-1", EMPTY)],
        [("a", "many", EMPTY)],
        [("a", "1_0", EMPTY)],
        [("a", "0", EMPTY.upper())],
        [("a", "0", EMPTY[:-1])],
        [("a", "0", "")],
    ],
)
def test_a_manifest_with_a_right_checksum_but_wrong_lines_is_damaged(rows: list[tuple[str, str, str]]) -> None:
    data = table_bytes("manifest", COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    with pytest.raises(Damaged, match="^m"):
        Manifest.parse(data, what="m")


def test_every_changed_byte_and_every_cut_of_a_manifest_is_detected() -> None:
    data = Manifest.of([Entry("vid/a.avi", 3, EMPTY), Entry("vid/b.avi", 0, EMPTY)]).to_bytes()
    for at in range(len(data)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            wrong = bytearray(data)
            wrong[at] ^= flip
            with pytest.raises(Damaged):
                Manifest.parse(bytes(wrong), what="m")
        with pytest.raises(Damaged):
            Manifest.parse(data[:at], what="m")
    with pytest.raises(Damaged):
        Manifest.parse(data + b"\n", what="m")


def test_a_file_that_is_gone_longer_or_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "vid").mkdir()
    for name in "ab":
        (tmp_path / "vid" / name).write_bytes(b"123")
    manifest = Manifest.of([entry_of(tmp_path, "vid/a"), entry_of(tmp_path, "vid/b")])
    check(tmp_path, manifest)
    for wrong in (b"124", b"1234"):
        (tmp_path / "vid/b").write_bytes(wrong)
        with pytest.raises(FileChanged, match="vid/b"):
            check(tmp_path, manifest)
    (tmp_path / "vid/b").unlink()
    with pytest.raises(FileChanged, match="vid/b is missing"):
        check(tmp_path, manifest)
