"""Opening: by member, by range, never outside the target, never over something else, and no damage passes."""

import io
import json
import os
import random
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from tarball_builder import KEY, UNIT, contents, outputs, sealed, tree

from ecogvault.age import Identity, NoMatchingIdentity, Sealer, decrypt_stream, generate, new_envelope
from ecogvault.errors import EcogvaultError
from ecogvault.records import canonical, with_digest
from ecogvault.tarball import (
    BeyondEnd,
    IndexedFrame,
    NoIndex,
    NoSuchMember,
    NotATar,
    NotOurs,
    OtherContent,
    TarballDamaged,
    UnsafePath,
    WrongUnit,
    open_sealed_tarball,
    open_stream,
    read_index,
    read_part,
)
from ecogvault.tarball.frames import skippable

MIB = 1024 * 1024
SMALL = {"vid/a.avi": os.urandom(200), "vid/b.txt": b"text", "vid/c.txt": b""}


def age(plain: bytes) -> bytes:
    parts: list[bytes] = []
    with Sealer(new_envelope([KEY.recipient()]), lambda view: parts.append(bytes(view))) as sealer:
        sealer.write(plain)
    return b"".join(parts)


def small(folder: Path) -> bytes:
    manifest = tree(folder / "root", SMALL)
    sealed(folder / "sealed", manifest, folder / "root")
    return outputs(folder / "sealed")["tarball"].read_bytes()


class Memory:
    """A source in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        piece = self.data[offset : offset + length]
        self.read += len(piece)
        return piece


def opening(data: bytes, target: Path, how: str, *, key: Identity = KEY, expect_unit: str | None = None) -> None:
    if how == "range":
        open_sealed_tarball(Memory(data), [key], target, expect_unit=expect_unit)
    else:
        open_stream(io.BytesIO(data), [key], target, expect_unit=expect_unit)


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_member_from_the_middle_reads_its_own_frames_alone(tmp_path: Path) -> None:
    files = {f"vid/{number}.avi": os.urandom(10 * MIB) for number in range(6)}
    manifest = tree(tmp_path / "root", files)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=2)
    source = Memory(outputs(tmp_path / "sealed")["tarball"].read_bytes())
    opened = open_sealed_tarball(source, [KEY], tmp_path / "out", members=["vid/3.avi"])
    assert contents(tmp_path / "out") == {f"{UNIT}/vid/3.avi": files["vid/3.avi"]}
    assert opened.paths == ("vid/3.avi",)
    frames = next(member for member in read_index(source, [KEY]).members if member.path == "vid/3.avi").frames
    assert source.read < 2 * MIB + sum(frame.length for frame in frames)


def test_any_bytes_of_a_member_are_read_by_the_frames_that_hold_them(tmp_path: Path) -> None:
    files = {"vid/a.txt": b"line\n" * 3 * MIB, "vid/b.avi": random.Random(5).randbytes(20 * MIB + 9), "vid/c": b"12345"}
    manifest = tree(tmp_path / "root", files)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=2)
    source = Memory(outputs(tmp_path / "sealed")["tarball"].read_bytes())
    for path, data in files.items():
        for first, length in ((0, 10), (4 * MIB - 5, 10), (9 * MIB + 1, 70_000), (len(data) - 3, 3), (len(data), 0)):
            if first + length > len(data):
                continue
            found = bytearray()
            source.read = 0
            assert read_part(source, [KEY], path, first, length, found.extend) == len(found)
            assert found == data[first : first + length]
            assert source.read < 10 * MIB
    for first, length in ((2, 4), (5, 1), (6, 0)):
        found = bytearray()
        with pytest.raises(BeyondEnd, match=rf"vid/c has 5 bytes, and {first}\+{length}"):
            read_part(source, [KEY], "vid/c", first, length, found.extend)
        assert not found
    with pytest.raises(NoSuchMember, match="2 files"):
        read_part(source, [KEY], "vid/[ab]*", 0, 1, bytearray().extend)
    damaged = bytearray(source.data)
    damaged[len(damaged) // 2] ^= 1
    found = bytearray()
    with pytest.raises(TarballDamaged, match=r"vid/b\.avi"):
        read_part(Memory(bytes(damaged)), [KEY], "vid/b.avi", 0, len(files["vid/b.avi"]), found.extend)
    assert files["vid/b.avi"].startswith(found)


def test_members_are_chosen_by_path_or_pattern(tmp_path: Path) -> None:
    data = Memory(small(tmp_path))
    for wanted, found in (
        (["vid/b.txt"], ["vid/b.txt"]),
        ([f"{UNIT}/vid/b.txt"], ["vid/b.txt"]),
        (["*.txt"], ["HOW-TO-OPEN.txt", "vid/b.txt", "vid/c.txt"]),
        (["vid/c.txt", "*.avi"], ["vid/a.avi", "vid/c.txt"]),
    ):
        opened = open_sealed_tarball(data, [KEY], tmp_path / wanted[-1].replace("/", "_"), members=wanted)
        assert list(opened.paths) == found
        assert sorted(contents(opened.folder)) == sorted(found)
    with pytest.raises(NoSuchMember, match=r"vid/x\.avi"):
        open_sealed_tarball(data, [KEY], tmp_path / "none", members=["vid/b.txt", "vid/x.avi"])
    assert not (tmp_path / "none").exists()


def test_a_pattern_character_in_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", {"a[1].txt": b"bracket", "a1.txt": b"one"})
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    opened = open_sealed_tarball(outputs(tmp_path / "sealed")["tarball"], [KEY], tmp_path, members=["a[1].txt"])
    assert opened.paths == ("a[1].txt",)


@pytest.mark.parametrize("how", ["range", "stream"])
def test_another_unit_is_refused_before_anything_is_written(tmp_path: Path, how: str) -> None:
    data = small(tmp_path)
    with pytest.raises(WrongUnit, match="df5c5206_4_vid"):
        opening(data, tmp_path / "out", how, expect_unit="df5c5206_4_vid")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["range", "stream"])
def test_another_key_opens_nothing(tmp_path: Path, how: str) -> None:
    data = small(tmp_path)
    with pytest.raises(NoMatchingIdentity):
        opening(data, tmp_path / "out", how, key=generate(classic=True))
    assert not (tmp_path / "out").exists()


# --- where files go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["range", "stream"])
def test_files_are_private_and_equal_ones_are_left_alone(tmp_path: Path, how: str) -> None:
    data = small(tmp_path)
    opening(data, tmp_path / "out", how)
    found = list((tmp_path / "out").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()} == {0o600}
    before = {path: path.stat().st_ino for path in found}
    opening(data, tmp_path / "out", how)
    assert {path: path.stat().st_ino for path in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize("how", ["range", "stream"])
@pytest.mark.parametrize("other", [b"tex!", b"longer than text", b""])
def test_a_different_file_is_never_overwritten(tmp_path: Path, how: str, other: bytes) -> None:
    data = small(tmp_path)
    place = tmp_path / "out" / UNIT / "vid" / "b.txt"
    place.parent.mkdir(parents=True)
    place.write_bytes(other)
    with pytest.raises(OtherContent, match=r"vid/b\.txt"):
        opening(data, tmp_path / "out", how)
    assert place.read_bytes() == other


@pytest.mark.parametrize("how", ["range", "stream"])
@pytest.mark.parametrize("link", [UNIT, f"{UNIT}/vid"])
def test_a_linked_folder_in_the_target_is_not_followed(tmp_path: Path, how: str, link: str) -> None:
    data = small(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    place = tmp_path / "out" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((UnsafePath, OtherContent)):
        opening(data, tmp_path / "out", how)
    assert not list((tmp_path / "elsewhere").iterdir())


# --- damage -----------------------------------------------------------------------------------------------------------


def test_every_flipped_byte_is_detected_and_leaves_nothing_wrong(tmp_path: Path) -> None:
    data = small(tmp_path)
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 1
        target = tmp_path / "out" / str(position)
        with pytest.raises(EcogvaultError):
            open_sealed_tarball(Memory(bytes(broken)), [KEY], target)
        with pytest.raises(EcogvaultError):
            open_stream(io.BytesIO(broken), [KEY], target)
        assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("how", ["range", "stream"])
def test_every_truncation_is_detected(tmp_path: Path, how: str) -> None:
    data = small(tmp_path)
    for length in range(0, len(data), 7):
        with pytest.raises(EcogvaultError):
            opening(data[:length], tmp_path / "out", how)


@pytest.mark.parametrize("threads", [1, 2])
def test_damage_says_where_and_leaves_no_half_file(tmp_path: Path, threads: int) -> None:
    files = {"vid/a.avi": os.urandom(9 * MIB), "vid/b.avi": os.urandom(9 * MIB), "vid/c.avi": os.urandom(9 * MIB)}
    manifest = tree(tmp_path / "root", files)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    data = bytearray(outputs(tmp_path / "sealed")["tarball"].read_bytes())
    data[12 * MIB] ^= 1
    with pytest.raises(TarballDamaged, match=r"chunk 19\d.*frame \d \(bytes \d+ to \d+\), in vid/b\.avi"):
        open_sealed_tarball(Memory(bytes(data)), [KEY], tmp_path / "out", threads=threads)
    found = contents(tmp_path / "out")
    assert all(found[path] == files[path.removeprefix(f"{UNIT}/")] for path in found if path.endswith(".avi"))
    assert not any("b.avi" in path or "c.avi" in path for path in found)


@pytest.mark.parametrize("kind", ["removed", "doubled", "swapped"])
@pytest.mark.parametrize("how", ["range", "stream"])
def test_removed_doubled_and_swapped_chunks_are_detected(tmp_path: Path, kind: str, how: str) -> None:
    manifest = tree(tmp_path / "root", {"vid/a.avi": os.urandom(260_000)})
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    data = outputs(tmp_path / "sealed")["tarball"].read_bytes()
    start = data.index(b"\n--- ") + 49 + 16
    chunks = [data[i : i + 65552] for i in range(start, len(data), 65552)]
    assert len(chunks) > 3
    for position in range(len(chunks)):
        changed = list(chunks)
        if kind == "removed":
            del changed[position]
        elif kind == "doubled":
            changed.insert(position, chunks[position])
        else:
            changed[position], changed[position - 1] = changed[position - 1], changed[position]
        with pytest.raises(EcogvaultError):
            opening(data[:start] + b"".join(changed), tmp_path / "out", how)
        assert not any(path.endswith(".avi") for path in contents(tmp_path / "out"))
        assert not any(path.endswith("~") for path in contents(tmp_path / "out"))


# --- what is not ours, or lies ----------------------------------------------------------------------------------------


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return age(zstandard.compress(stream.getvalue()))


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = linkname
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../escape"),
        member("/absolute"),
        member(f"{UNIT}/../../escape"),
        member(f"{UNIT}/a\nb"),
        member(f"{UNIT}/link", tarfile.SYMTYPE, "/tmp"),
        member(f"{UNIT}/hard", tarfile.LNKTYPE, f"{UNIT}/MANIFEST.tsv"),
        member(f"{UNIT}/device", tarfile.CHRTYPE),
        member(f"{UNIT}/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: repr(info.name),
)
def test_links_devices_and_paths_that_lead_out_are_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    manifest = tree(tmp_path / "root", {})
    data = tar_of((member(f"{UNIT}/MANIFEST.tsv"), manifest.to_bytes()), (bad, b""))
    with pytest.raises(UnsafePath):
        open_stream(io.BytesIO(data), [KEY], tmp_path / "out")
    assert contents(tmp_path) == {}


def test_a_tar_of_ours_by_other_means_opens_as_a_stream_and_has_no_index(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", SMALL)
    files = [(member(f"{UNIT}/{path}"), data) for path, data in sorted(SMALL.items())]
    data = tar_of((member(f"{UNIT}/MANIFEST.tsv"), manifest.to_bytes()), *files)
    with pytest.raises(NoIndex):
        open_sealed_tarball(Memory(data), [KEY], tmp_path / "out")
    open_stream(io.BytesIO(data), [KEY], tmp_path / "out")
    assert contents(tmp_path / "out" / UNIT) == {**SMALL, "MANIFEST.tsv": manifest.to_bytes()}


def test_a_tar_that_lacks_adds_or_changes_a_file_is_refused(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", SMALL)
    listed = (member(f"{UNIT}/MANIFEST.tsv"), manifest.to_bytes())
    files = {path: (member(f"{UNIT}/{path}"), data) for path, data in sorted(SMALL.items())}
    lacks = [file for path, file in files.items() if path != "vid/b.txt"]
    adds = [*files.values(), (member(f"{UNIT}/vid/d.txt"), b"more")]
    changes = [*(file for path, file in files.items() if path != "vid/b.txt"), (member(f"{UNIT}/vid/b.txt"), b"tExt")]
    for wrong in (lacks, adds, changes):
        with pytest.raises(TarballDamaged):
            open_stream(io.BytesIO(tar_of(listed, *wrong)), [KEY], tmp_path / "out")
        assert not (tmp_path / "out" / UNIT / "vid/b.txt").exists()
    for foreign in ([files["vid/b.txt"]], [listed, (member("other/x"), b"")], []):
        with pytest.raises(NotOurs):
            open_stream(io.BytesIO(tar_of(*foreign)), [KEY], tmp_path / "foreign")


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    for content in (zstandard.compress(b"x" * 2000), zstandard.compress(b""), b""):
        with pytest.raises((NotATar, NotOurs)):
            open_stream(io.BytesIO(age(content)), [KEY], tmp_path / "out")
    with pytest.raises(TarballDamaged, match="zstd"):
        open_stream(io.BytesIO(age(b"not compressed")), [KEY], tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "../escape"),
        ("path", "/absolute"),
        ("unit", ".."),
        ("unit", "/tmp"),
        ("unit", "a/b"),
        ("offset", 0),
        ("offset", 10**9),
        ("size", 10**9),
        ("size", -1),
        ("sha256", "0" * 64),
        ("frames", []),
        ("frames", [[0, 0, 5]]),
        ("frames", "none"),
    ],
)
def test_an_index_that_lies_opens_nothing(tmp_path: Path, key: str, value: object) -> None:
    small(tmp_path)
    index = read_index(outputs(tmp_path / "sealed")["tarball"], [KEY])
    record = json.loads(index.to_bytes())
    victim = next(entry for entry in record["members"] if entry["path"] == "vid/a.avi")
    (record if key == "unit" else victim)[key] = value
    plain = bytearray()
    with open(outputs(tmp_path / "sealed")["tarball"], "rb") as stream:
        decrypt_stream(stream, [KEY], plain.extend)
    lying = bytes(plain[: index.packed]) + skippable(canonical(with_digest(record)) + b"\n")
    with pytest.raises(EcogvaultError):
        open_sealed_tarball(Memory(age(lying)), [KEY], tmp_path / "out")
    assert not (tmp_path / "out" / UNIT / "vid/a.avi").exists()
    assert not list(tmp_path.rglob("escape"))


def test_content_that_does_not_have_its_sha256_gets_no_name_though_all_else_agrees(tmp_path: Path) -> None:
    small(tmp_path)
    index = read_index(outputs(tmp_path / "sealed")["tarball"], [KEY])
    plain = bytearray()
    with open(outputs(tmp_path / "sealed")["tarball"], "rb") as stream:
        decrypt_stream(stream, [KEY], plain.extend)
    texts, files = (frame for frame, _ in index.frames())
    tar = bytearray(zstandard.decompress(plain[files.offset : index.packed]))
    victim = next(entry for entry in index.members if entry.path == "vid/b.txt")
    tar[victim.offset - files.plain] ^= 1
    packed = zstandard.compress(bytes(tar))
    moved = IndexedFrame(files.plain, files.offset, len(packed))
    members = tuple(replace(entry, frames=(moved,)) if entry.frames == (files,) else entry for entry in index.members)
    lying = replace(index, members=members, packed=files.offset + len(packed))
    sealed_again = age(bytes(plain[: texts.length]) + packed + skippable(lying.to_bytes()))
    for how in ("range", "stream"):
        with pytest.raises(TarballDamaged, match=r"vid/b\.txt does not have its SHA-256"):
            opening(sealed_again, tmp_path / how, how)
        assert not (tmp_path / how / UNIT / "vid/b.txt").exists()
