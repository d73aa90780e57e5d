"""Sealing: one pass, one frame structure, all or nothing; and the same tree comes out again."""

import errno
import io
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tarball_builder import KEY, UNIT, contents, outputs, sealed, tree

from ecogvault.age import decrypt_stream, generate
from ecogvault.digests import Crc64Nvme, TreeHash
from ecogvault.manifest import FileChanged, Manifest, entry_of
from ecogvault.records import read_record
from ecogvault.statement import public_text, signing_key, verify_statement
from ecogvault.tarball import HOW_TO_OPEN, open_sealed_tarball, open_stream, read_index, read_index_file

MIB = 1024 * 1024
FILES = {
    "vid/df5c5206_3/df5c5206_3_0001.avi": os.urandom(300_000),
    "vid/df5c5206_3/df5c5206_3.erd": b"\0" * 100_000 + b"x",
    "vid/df5c5206_3/empty.txt": b"",
    "edf/df5c5206_3.edf": bytes(range(256)) * 1000,
}


def plain_of(tarball: Path) -> bytes:
    parts: list[bytes] = []
    with open(tarball, "rb") as stream:
        decrypt_stream(stream, [KEY], lambda view: parts.append(bytes(view)))
    return b"".join(parts)


names = st.text("abc._-", min_size=1, max_size=6).filter(lambda name: name.strip("."))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=3000), max_size=8).filter(
    lambda files: not any(other.startswith(f"{path}/") for path in files for other in files)
)


@settings(max_examples=40, deadline=None)
@given(trees, st.integers(1, 3))
def test_any_tree_in_is_the_same_tree_out(files: dict[str, bytes], threads: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root").mkdir()
        manifest = tree(folder / "root", files)
        sealed(folder / "sealed", manifest, folder / "root", threads=threads)
        tarball = outputs(folder / "sealed")["tarball"]
        opened = open_sealed_tarball(tarball, [KEY], folder / "a", expect_unit=UNIT, threads=threads)
        open_stream(io.BytesIO(tarball.read_bytes()), [KEY], folder / "b", expect_unit=UNIT)
        expected = files | {"MANIFEST.tsv": manifest.to_bytes(), "HOW-TO-OPEN.txt": HOW_TO_OPEN.encode()}
        assert contents(folder / "a" / UNIT) == contents(folder / "b" / UNIT) == expected
        assert opened.manifest == manifest


def test_large_members_cross_frames_and_come_back(tmp_path: Path) -> None:
    files = {
        "a_noise.avi": os.urandom(20 * MIB + 5),
        "b_small": b"small",
        "c_zeros": bytes(8 * MIB),
        "d_just_below": os.urandom(8 * MIB - 1),
        "e_text": b"line\n" * 3_000_000,
    }
    manifest = tree(tmp_path / "root", files)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=2)
    tarball = outputs(tmp_path / "sealed")["tarball"]
    open_sealed_tarball(tarball, [KEY], tmp_path / "out", threads=2)
    found = contents(tmp_path / "out" / UNIT)
    assert {path: found[path] for path in files} == files
    index = read_index(tarball, [KEY])
    by_path = {member.path: member for member in index.members}
    starts = [frame.plain for frame, _ in index.frames()]
    for path, data in files.items():
        if len(data) >= 8 * MIB:
            # Its header is the first thing in its first frame, and nothing else is in any of its frames.
            assert by_path[path].frames[0].plain == by_path[path].offset - 512
            others = {frame for member in index.members if member.path != path for frame in member.frames}
            assert not others & set(by_path[path].frames)
    assert all(size <= 64 * MIB for _, size in index.frames())
    assert starts == sorted(starts)


def test_noise_is_stored_and_text_is_packed(tmp_path: Path) -> None:
    noise = tree(tmp_path / "noise", {"a": os.urandom(9 * MIB)})
    text = tree(tmp_path / "text", {"a": b"the same line again\n" * 500_000})
    stored = sealed(tmp_path / "x", noise, tmp_path / "noise").size
    packed = sealed(tmp_path / "y", text, tmp_path / "text").size
    assert noise.total_size < stored < noise.total_size * 1.002
    assert packed < text.total_size / 100


def test_the_plain_content_is_the_same_each_time_and_for_any_number_of_threads(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", FILES | {"vid/big.avi": os.urandom(9 * MIB), "vid/eeg": b"\1\0\2\0" * 3 * MIB})
    plain = []
    for threads in (1, 2, 3):
        sealed(tmp_path / str(threads), manifest, tmp_path / "root", threads=threads)
        plain.append(plain_of(outputs(tmp_path / str(threads))["tarball"]))
    assert plain[0] == plain[1] == plain[2]
    ciphertexts = {outputs(tmp_path / str(threads))["tarball"].read_bytes() for threads in (1, 2, 3)}
    assert len(ciphertexts) == 3


def test_zstd_and_tar_alone_open_the_decrypted_stream(tmp_path: Path) -> None:
    files = FILES | {"long/" + "n" * 180 + "/" + "m" * 120: b"a path that needs a pax record"}
    manifest = tree(tmp_path / "root", files)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    plain = plain_of(outputs(tmp_path / "sealed")["tarball"])
    (tmp_path / "out").mkdir()
    tar = subprocess.run(["zstd", "-d", "-q"], input=plain, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x", "-C", tmp_path / "out"], input=tar, check=True)
    found = contents(tmp_path / "out" / UNIT)
    assert {path: found[path] for path in files} == files
    listing = subprocess.run(
        ["tar", "tvf", "-", "--utc", "--numeric-owner"], input=tar, capture_output=True, check=True
    )
    lines = listing.stdout.decode().splitlines()
    assert lines[0].endswith(f"{UNIT}/MANIFEST.tsv")
    assert lines[1].endswith(f"{UNIT}/HOW-TO-OPEN.txt")
    assert all(line.startswith("-rw-r--r-- 0/0 ") and "2023-11-14" in line for line in lines)


def test_the_command_in_the_instructions_checks_the_files(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", FILES)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    opened = open_sealed_tarball(outputs(tmp_path / "sealed")["tarball"], [KEY], tmp_path)
    command = next(line for line in HOW_TO_OPEN.splitlines() if "sha256sum" in line).strip()
    done = subprocess.run(["sh", "-c", command], cwd=opened.folder, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK\n") == len(FILES)
    (opened.folder / "edf/df5c5206_3.edf").write_bytes(b"other")
    assert subprocess.run(["sh", "-c", command], cwd=opened.folder, capture_output=True).returncode


def test_digests_are_those_of_the_file_and_the_statement_says_so(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", FILES)
    digests = sealed(
        tmp_path / "sealed", manifest, tmp_path / "root", previous_statement_sha256="ab" * 32, generation=7
    )
    paths = outputs(tmp_path / "sealed")
    data = paths["tarball"].read_bytes()
    tree_hash, crc = TreeHash(), Crc64Nvme()
    tree_hash.update(data)
    crc.update(data)
    assert (digests.size, digests.sha256_tree, digests.crc64nvme) == (len(data), tree_hash.hexdigest(), crc.base64())
    signer = public_text(signing_key(tmp_path / "signing.key"))
    record = verify_statement(
        read_record(paths["statement"]),
        [signer],
        unit=UNIT,
        generation=7,
        form="tarball",
        manifest_sha256=manifest.sha256,
        sha256_tree=digests.sha256_tree,
        previous="ab" * 32,
    )
    assert record["recipients"] == [KEY.recipient().fingerprint]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths.values()} == {0o640}


def test_the_local_index_is_the_one_inside(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", FILES)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    paths = outputs(tmp_path / "sealed")
    index = read_index_file(paths["index"])
    assert index == read_index(paths["tarball"], [KEY])
    assert [member.path for member in index.members] == ["MANIFEST.tsv", "HOW-TO-OPEN.txt", *sorted(FILES)]
    packed = plain_of(paths["tarball"])
    for frame, size in index.frames():
        piece = packed[frame.offset : frame.offset + frame.length]
        assert len(zstandard.ZstdDecompressor().decompressobj().decompress(piece)) == size
    magic, length = packed[index.packed : index.packed + 4], packed[index.packed + 4 : index.packed + 8]
    assert 0x184D2A50 <= int.from_bytes(magic, "little") <= 0x184D2A5F
    assert int.from_bytes(packed[-12:-4], "little") == int.from_bytes(length, "little")
    assert packed[-4:] == b"EGVI"
    assert len(packed) == index.packed + 8 + int.from_bytes(length, "little")
    assert packed[index.packed + 8 : -12] == paths["index"].read_bytes()


def test_no_files_and_thousands_of_files(tmp_path: Path) -> None:
    none = tree(tmp_path / "none", {})
    sealed(tmp_path / "a", none, tmp_path / "none")
    assert open_sealed_tarball(outputs(tmp_path / "a")["tarball"], [KEY], tmp_path / "x").manifest == none
    files = {f"vid/{number:05}": b"%d" % number for number in range(3000)}
    many = tree(tmp_path / "many", files)
    sealed(tmp_path / "b", many, tmp_path / "many", threads=2)
    opened = open_sealed_tarball(outputs(tmp_path / "b")["tarball"], [KEY], tmp_path / "y", threads=2)
    found = contents(opened.folder)
    assert {path: found[path] for path in files} == files


def test_a_tarball_to_two_recipients_opens_with_either(tmp_path: Path) -> None:
    keys = [generate(), generate()]
    manifest = tree(tmp_path / "root", FILES)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root", recipients=[key.recipient() for key in keys])
    for number, key in enumerate(keys):
        assert open_sealed_tarball(outputs(tmp_path / "sealed")["tarball"], [key], tmp_path / str(number)).unit == UNIT


# --- what must fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]), "another SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes"),
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "bytes"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_a_file_that_is_not_what_was_listed_fails_the_seal_by_name(tmp_path: Path, change, said, threads: int) -> None:
    manifest = tree(tmp_path / "root", FILES)
    change(tmp_path / "root" / "vid/df5c5206_3/df5c5206_3_0001.avi")
    with pytest.raises(FileChanged, match=rf"df5c5206_3_0001\.avi.*{said}"):
        sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=threads)
    assert contents(tmp_path / "sealed") == {}


class Meddling:
    """The file system's read call, which changes the file once in the middle."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change) -> None:
        self.readv = os.readv
        self.change = change
        self.calls = 0
        monkeypatch.setattr(os, "readv", self)

    def __call__(self, descriptor: int, buffers) -> int:
        self.calls += 1
        if self.calls == 3:
            self.change()
        return self.readv(descriptor, buffers)


@pytest.mark.parametrize(("size", "said"), [(MIB, "ended after"), (9 * MIB + 1, "grown"), (9 * MIB, "another SHA-256")])
def test_a_file_that_changes_while_it_is_sealed_fails_the_seal_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, said: str
) -> None:
    manifest = tree(tmp_path / "root", {"vid/a.avi": os.urandom(9 * MIB)})
    path = tmp_path / "root/vid/a.avi"

    def change() -> None:
        with open(path, "r+b") as stream:
            stream.seek(7 * MIB)
            stream.write(b"changed")
            stream.truncate(size)

    Meddling(monkeypatch, change)
    with pytest.raises(FileChanged, match=rf"vid/a\.avi.*{said}"):
        sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=2)
    assert contents(tmp_path / "sealed") == {}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    manifest = tree(tmp_path / "root", {"a": os.urandom(20 * MIB)})
    write = os.write
    written = 0

    def full(descriptor: int, data) -> int:
        nonlocal written
        written += len(data)
        if written > 10 * MIB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        sealed(tmp_path / "sealed", manifest, tmp_path / "root", threads=threads)
    assert caught.value.errno == errno.ENOSPC
    assert contents(tmp_path / "sealed") == {}


def test_an_old_seal_stays_when_a_new_one_fails(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", FILES)
    sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    before = contents(tmp_path / "sealed")
    (tmp_path / "root" / "edf/df5c5206_3.edf").unlink()
    with pytest.raises(FileChanged):
        sealed(tmp_path / "sealed", manifest, tmp_path / "root")
    assert contents(tmp_path / "sealed") == before


def test_a_link_in_the_tree_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"data")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    manifest = Manifest.of([entry_of(tmp_path / "root", "link")])
    with pytest.raises(OSError, match="link"):
        sealed(tmp_path / "sealed", manifest, tmp_path / "root")


def test_progress_counts_every_plain_byte(tmp_path: Path) -> None:
    manifest = tree(tmp_path / "root", FILES)
    counts: list[int] = []
    sealed(tmp_path / "sealed", manifest, tmp_path / "root", progress=counts.append)
    assert sum(counts) == read_index_file(outputs(tmp_path / "sealed")["index"]).plain


MEMORY = """
import sys
from pathlib import Path
from ecogvault.tarball import open_sealed_tarball
from tarball_builder import KEY, UNIT, outputs, sealed
from ecogvault.manifest import Manifest
folder = Path(sys.argv[1])
sealed(folder / "sealed", Manifest.read(folder / "manifest.tsv"), folder / "root", threads=2)
open_sealed_tarball(outputs(folder / "sealed")["tarball"], [KEY], folder / "out", threads=2)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def test_memory_does_not_grow_with_the_unit(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with open(tmp_path / "root/big", "wb") as stream:
        stream.truncate(450 * MIB)
    Manifest.of([entry_of(tmp_path / "root", "big")]).write(tmp_path / "manifest.tsv")
    repository = Path(__file__).parents[2]
    path = os.pathsep.join([str(Path(__file__).parent), str(repository / "scripts")])
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path], env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True
    )
    assert int(done.stdout) < 400 * 1024
    assert (tmp_path / "out" / UNIT / "big").stat().st_size == 450 * MIB
