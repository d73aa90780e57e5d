"""Archives of `openssl enc`: every combination opens, nothing wrong is called right."""

import hashlib
import os
import random
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecogvault.errors import EcogvaultError
from ecogvault.files import mark_alive
from ecogvault.legacy import LegacyDamaged, Made, NoCombination, Opened, Unsupported, open_legacy
from ecogvault.tarball import OtherContent, UnsafePath
from legacy_builder import AVI, FILES, NOISE, PASSWORD, encrypted, packed, special, tar, to_block

MIB = 1024 * 1024


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(archive: Path, out: Path, made: Made | None = None, **words: bool) -> Opened:
    return open_legacy(archive, PASSWORD, out, made, **words)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# --- what it opens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["tar.gz", "tar", "single"])
@pytest.mark.parametrize("padding", [(), ("-nopad",)], ids=["padded", "nopad"])
@pytest.mark.parametrize("salt", [("-salt",), ("-nosalt",)], ids=["salted", "unsalted"])
@pytest.mark.parametrize("digest", ["md5", "sha256"])
@pytest.mark.parametrize("cipher", ["des", "des3", "aes-256-cbc"])
def test_every_combination_opens(
    tmp_path: Path, out: Path, cipher: str, digest: str, salt: tuple[str], padding: tuple[str], content: str
) -> None:
    plain = {"tar.gz": packed(tar(FILES)), "tar": tar(FILES), "single": AVI + b"end"}[content]
    plain = to_block(plain) if padding else plain
    one = encrypted(tmp_path / "x.avi.enc", plain, *salt, *padding, cipher=cipher, digest=digest)
    found = opened(one, out)
    assert (found.combination.cipher, found.combination.digest) == (cipher, digest)
    assert found.salted == (salt == ("-salt",))
    if content != "single":
        assert contents(out) == FILES
        assert found.places == [out / "df5c5206"]
    else:
        assert contents(out) == {"x.avi.unproven" if padding else "x.avi": plain}
    assert found.proven == (content != "single" or not padding)
    assert {place.stat().st_mode & 0o777 for place in out.rglob("*") if place.is_file()} == {0o600}
    assert {place.stat().st_mode & 0o777 for place in out.rglob("*") if place.is_dir()} <= {0o700}


@pytest.mark.parametrize("salt", ["-salt", "-nosalt"])
@pytest.mark.parametrize(("words", "iterations"), [((), 10_000), (("-iter", "77"), 77)])
def test_keys_by_pbkdf2_open(tmp_path: Path, out: Path, words: tuple[str, ...], iterations: int, salt: str) -> None:
    one = encrypted(
        tmp_path / "x.enc", packed(tar(FILES)), salt, "-pbkdf2", *words, cipher="aes-256-cbc", digest="sha256"
    )
    with pytest.raises(NoCombination):
        opened(one, out)
    assert opened(one, out, Made(iterations=iterations)).proven
    assert contents(out) == FILES


def test_what_tar_and_gzip_programs_make_opens(tmp_path: Path, out: Path) -> None:
    (tmp_path / "media/lab/disk1/df5c5206").mkdir(parents=True)
    big = random.Random(1).randbytes(700_000)
    (tmp_path / "media/lab/disk1/df5c5206/big").write_bytes(big)
    for number, flag in enumerate(("--format=v7", "--format=ustar", "--format=gnu", "--format=pax")):
        made = subprocess.run(["tar", flag, "-cz", "media"], cwd=tmp_path, capture_output=True, check=True).stdout
        one = encrypted(tmp_path / "x.enc", made)
        assert opened(one, out / str(number)).content == "tar in gzip"
        assert contents(out / str(number)) == {"df5c5206/big": big}


def test_gzip_in_several_members_and_a_single_file_in_gzip(tmp_path: Path, out: Path) -> None:
    plain = tar(FILES)
    parts = b"".join(packed(plain[i : i + 1000]) for i in range(0, len(plain), 1000))
    opened(encrypted(tmp_path / "x.enc", parts), out)
    assert contents(out) == FILES
    found = opened(encrypted(tmp_path / "y.txt.gz.enc", packed(NOISE)), out / "single")
    assert found.proven
    assert contents(out / "single") == {"y.txt": NOISE}


def test_an_empty_tar_and_an_empty_file(tmp_path: Path, out: Path) -> None:
    assert opened(encrypted(tmp_path / "a.enc", tar({})), out).files == []
    found = opened(encrypted(tmp_path / "b.enc", b""), out)
    assert found.proven
    assert contents(out) == {"b": b""}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_names_that_are_no_ascii(tmp_path: Path, out: Path, format: int) -> None:
    raw = os.fsdecode(b"a/M\xfcnchen 1.avi")  # Latin-1, as an old system wrote it
    files = {f"a/{'long/' * 60}x.avi": b"1", "a/Zürich, mit Leerzeichen.avi": b"2", raw: b"3"}
    opened(encrypted(tmp_path / "x.enc", packed(tar(files, format=format))), out)
    assert contents(out) == files
    assert os.path.exists(os.fsencode(out) + b"/a/M\xfcnchen 1.avi")


def test_files_keep_their_time(tmp_path: Path, out: Path) -> None:
    opened(encrypted(tmp_path / "x.enc", packed(tar(FILES))), out)
    assert (out / "df5c5206/a.avi").stat().st_mtime == 1_000_000_000


# --- paths ------------------------------------------------------------------------------------------------------------

DEEP = {f"media/lab/disk1/{path}": content for path, content in FILES.items()}


def test_folders_that_lead_to_all_files_are_left_out_but_for_the_last(tmp_path: Path, out: Path) -> None:
    extra = [special(path, tarfile.DIRTYPE) for path in ("media", "media/lab/", "./media/lab/disk1")]
    one = encrypted(tmp_path / "x.enc", packed(tar(DEEP, extra=extra)))
    assert opened(one, out).places == [out / "df5c5206"]
    assert contents(out) == FILES
    opened(one, out / "kept", keep_paths=True)
    assert contents(out / "kept") == DEEP


def test_parts_of_one_folder_are_archives_of_their_own(tmp_path: Path, out: Path) -> None:
    for number, path in enumerate(FILES, 1):
        # Two files each, so that the last common folder is the same.
        part = {f"media/{path}": FILES[path], f"media/df5c5206/part{number}": b""}
        opened(encrypted(tmp_path / f"x_pt{number}.enc", packed(tar(part))), out)
    assert set(contents(out)) == {*FILES, "df5c5206/part1", "df5c5206/part2", "df5c5206/part3"}


def test_nothing_is_overwritten_and_equal_content_is_left(tmp_path: Path, out: Path) -> None:
    one = encrypted(tmp_path / "x.enc", packed(tar(FILES)))
    opened(one, out)
    opened(one, out)
    (out / "df5c5206/a.avi").unlink()
    for other in (b"other", NOISE[:-1] + b"x"):  # of another size, and of the same
        (out / "df5c5206/df5c5206_3/b.erd").write_bytes(other)
        before = contents(out)
        with pytest.raises(OtherContent):
            opened(one, out)
        assert contents(out) == before


def test_a_link_in_the_folder_is_never_followed(tmp_path: Path, out: Path) -> None:
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "df5c5206").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OtherContent):
        opened(encrypted(tmp_path / "x.enc", packed(tar(FILES))), out)
    assert contents(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "//x", "a/.."])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, out: Path, path: str) -> None:
    with pytest.raises(UnsafePath, match="member 4"):
        opened(encrypted(tmp_path / "x.enc", packed(tar({**FILES, path: b"1"}))), out)
    assert contents(tmp_path).keys() == {"x.enc"}


def test_links_and_devices_are_skipped_by_name(tmp_path: Path, out: Path) -> None:
    extra = [
        special("l", tarfile.SYMTYPE, "/etc"),
        special("l/passwd", tarfile.LNKTYPE, "df5c5206/a.avi"),
        special("d", tarfile.CHRTYPE),
        special("p", tarfile.FIFOTYPE),
    ]
    found = opened(encrypted(tmp_path / "x.enc", packed(tar(FILES, extra=extra))), out)
    assert [path for path, _ in found.skipped] == ["l", "l/passwd", "d", "p"]
    assert contents(out) == FILES


def test_of_a_path_that_is_there_twice_the_later_counts(tmp_path: Path, out: Path) -> None:
    twice = tar({"a": b"old"}).rstrip(b"\0").ljust(1024, b"\0") + tar({"a": b"new", "b": b""})
    found = opened(encrypted(tmp_path / "x.enc", packed(twice)), out)
    assert found.twice == ["a"]
    assert contents(out) == {"a": b"new", "b": b""}


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path, out: Path) -> None:
    for files in ({"a": b"1", "a/b": b"2"}, {"a/b": b"2", "a": b"1"}):
        with pytest.raises(LegacyDamaged):
            opened(encrypted(tmp_path / "x.enc", packed(tar(files))), out)
        assert contents(out) == {}


def test_a_sparse_file_is_refused_since_it_would_not_be_whole(tmp_path: Path, out: Path) -> None:
    with open(tmp_path / "hole", "wb") as stream:
        stream.truncate(MIB)
    for flag in ("--format=gnu", "--format=pax"):
        made = subprocess.run(["tar", flag, "-cSz", "hole"], cwd=tmp_path, capture_output=True, check=True).stdout
        with pytest.raises(Unsupported):
            opened(encrypted(tmp_path / "x.enc", made), out)


# --- wrong passwords --------------------------------------------------------------------------------------------------

PLAINS = {
    "tar.gz": (packed(tar({"a": b"some text"})), ()),
    "tar.gz nopad": (to_block(packed(tar({"a": b"some text"}))), ("-nopad",)),
    "tar": (tar({"a": b"some text"}), ()),
    "tar nopad": (tar({"a": b"some text"}), ("-nopad",)),
    "single": (AVI, ()),
    "single nopad": (to_block(AVI), ("-nopad",)),
    "noise": (NOISE[:1500], ()),
    "noise nopad": (NOISE[:1600], ("-nopad",)),
}


@pytest.mark.parametrize("plain", PLAINS)
def test_a_thousand_wrong_passwords_are_refused(tmp_path: Path, out: Path, plain: str) -> None:
    content, words = PLAINS[plain]
    one = encrypted(tmp_path / "x.enc", content, *words, cipher="des", digest="md5")
    for number in range(1000):
        with pytest.raises(NoCombination, match="it is wrong"):
            open_legacy(one, b"%s%d" % (PASSWORD, number), out)
    assert not out.exists()
    if not plain.startswith("noise"):
        assert opened(one, out).combination.cipher == "des"


def test_no_wrong_password_is_called_proven_even_when_asked_to_write_it(tmp_path: Path, out: Path) -> None:
    one = encrypted(tmp_path / "x.enc", NOISE[:200])
    written = 0
    for number in range(1000):
        try:
            found = open_legacy(one, b"wrong %d" % number, out / str(number), Made(unproven=True))
        except NoCombination:
            continue
        written += 1
        assert not found.proven
        assert [place.name for place in found.places] == ["x.unproven"]
    # Six combinations, of which each has an end that fits in one of 255 cases.
    assert 5 < written < 60


def test_noise_is_written_when_asked_and_the_one_way_is_named(tmp_path: Path, out: Path) -> None:
    one = encrypted(tmp_path / "x.enc", NOISE, cipher="des3", digest="sha256")
    found = opened(one, out, Made(cipher="des3", digest="sha256", unproven=True))
    assert not found.proven
    assert contents(out) == {"x.unproven": NOISE}
    nopad = encrypted(tmp_path / "y.enc", to_block(NOISE), "-nopad", cipher="des3", digest="sha256")
    with pytest.raises(NoCombination, match="6 combinations"):
        opened(nopad, out, Made(nopad=True, unproven=True))
    opened(nopad, out, Made(cipher="des3", digest="sha256", nopad=True, unproven=True))
    assert contents(out)["y.unproven"] == to_block(NOISE)


def test_an_unknown_format_that_is_no_noise_is_written_as_not_proven(tmp_path: Path, out: Path) -> None:
    plain = b"\xfe\x01" + bytes(5000)
    for words in ((), ("-nopad",)):
        one = encrypted(tmp_path / "x.erd.enc", to_block(plain), *words)
        found = opened(one, out / str(len(words)))
        assert not found.proven
        assert contents(out / str(len(words))) == {"x.erd.unproven": to_block(plain)}


def test_an_end_that_looks_like_padding_is_kept_when_there_was_none(tmp_path: Path, out: Path) -> None:
    plain = to_block(AVI + b"x")[:-1] + b"\x01"
    one = encrypted(tmp_path / "x.avi.enc", plain, "-nopad")
    assert not opened(one, out, Made(nopad=True)).proven
    assert contents(out) == {"x.avi.unproven": plain}


def test_text_is_told_by_its_letters(tmp_path: Path, out: Path) -> None:
    text = ("Zeit;Wert\n" * 500 + "müde\n").encode()
    found = opened(encrypted(tmp_path / "x.txt.enc", text), out)
    assert found.proven
    assert found.content == "text"
    assert contents(out) == {"x.txt": text}


@pytest.mark.parametrize("content", [b"", b"Salted__", b"Salted__12345678", b"text" * 1000])
def test_what_is_no_archive_is_refused(tmp_path: Path, out: Path, content: bytes) -> None:
    (tmp_path / "x.enc").write_bytes(content)
    with pytest.raises(NoCombination):
        opened(tmp_path / "x.enc", out)


def test_base64_is_named(tmp_path: Path, out: Path) -> None:
    with pytest.raises(NoCombination, match="base64 -d"):
        opened(encrypted(tmp_path / "x.enc", packed(tar(FILES)), "-a"), out)


# --- damage -----------------------------------------------------------------------------------------------------------


def variants(whole: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(len(whole)):
        yield at, whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]


@pytest.mark.parametrize("words", [(), ("-nosalt", "-nopad")], ids=["salted", "unsalted nopad"])
def test_every_flipped_bit_in_a_packed_tar_is_reported(tmp_path: Path, out: Path, words: tuple[str, ...]) -> None:
    plain = packed(tar({"a": NOISE[:60], "b": b"text" * 50}))
    one = encrypted(tmp_path / "x.enc", to_block(plain) if words else plain, *words)
    opened(one, tmp_path / "whole")
    seen = set()
    for at, changed in variants(one.read_bytes()):
        one.write_bytes(changed)
        with pytest.raises((LegacyDamaged, NoCombination)) as caught:
            opened(one, out)
        # In front are magic, salt and the block with gzip's own mark; behind them the password is known to be right.
        if at >= (8 if words else 24):
            assert isinstance(caught.value, LegacyDamaged), at
            seen |= {word for word in ("CRC", "inflated", "member", "header") if word in str(caught.value)}
    assert not out.exists() or contents(out) == {}
    assert {"CRC", "inflated"} <= seen


def test_a_bit_flipped_far_behind_is_found_where_it_is(tmp_path: Path, out: Path) -> None:
    noise = random.Random(3).randbytes(3 * MIB)
    one = encrypted(tmp_path / "x.enc", packed(tar({"a": noise, "b": bytes(3 * MIB), "c": b"1"})), cipher="aes-256-cbc")
    data = bytearray(one.read_bytes())
    data[2 * MIB] ^= 4
    one.write_bytes(data)
    with pytest.raises(LegacyDamaged) as caught:
        opened(one, out)
    assert "CRC" in str(caught.value) or "in member 1" in str(caught.value)
    assert list(out.iterdir()) == []


def test_a_bit_flipped_in_a_header_of_a_plain_tar_names_the_member(tmp_path: Path, out: Path) -> None:
    one = encrypted(tmp_path / "x.enc", tar({"a": NOISE, "b": AVI, "c": b"1"}))
    data = bytearray(one.read_bytes())
    header_of_b = 16 + 512 + 3072
    data[header_of_b + 100] ^= 1
    one.write_bytes(data)
    with pytest.raises(LegacyDamaged, match="behind member 1"):
        opened(one, out)
    data[header_of_b + 100] ^= 1
    data[16 + 600] ^= 1
    one.write_bytes(data)
    # Nothing in a plain tar shows this, which is what the sentence says.
    assert "nothing shows a change inside its files" in opened(one, out).proof


@pytest.mark.parametrize("plain", [packed(tar({"a": NOISE[:60]})), tar({"a": NOISE[:60]})], ids=["gzip", "tar"])
def test_a_cut_archive_is_reported(tmp_path: Path, out: Path, plain: bytes) -> None:
    one = encrypted(tmp_path / "x.enc", plain)
    whole = one.read_bytes()
    # A tar is whole when two blocks of zeros are; what follows them is filling.
    needed = len(whole) - 8 if plain[:2] == b"\x1f\x8b" else 16 + 3 * 512 + 512
    for length in range(32, needed, 1 if needed < 1000 else 7):
        one.write_bytes(whole[:length])
        with pytest.raises((LegacyDamaged, NoCombination)):
            opened(one, out)
    assert not out.exists() or contents(out) == {}


def test_something_behind_the_end_is_reported(tmp_path: Path, out: Path) -> None:
    for plain in (packed(tar(FILES)), tar(FILES)):
        for more in (b"more", b"\0" * 100 + b"x" * 20):
            with pytest.raises(LegacyDamaged, match="end of the content"):
                opened(encrypted(tmp_path / "x.enc", plain + more), out)
    assert contents(out) == {}


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path, out: Path) -> None:
    one = encrypted(tmp_path / "x.enc", packed(tar(FILES)))
    for name in ("dead", "alive"):
        (out / f".x.enc.{name}.part~").mkdir(parents=True)
        (out / f".x.enc.{name}.part~/a").write_bytes(b"plain")
    descriptor = os.open(out / ".x.enc.alive.part~", os.O_RDONLY)
    mark_alive(descriptor)
    opened(one, out)
    os.close(descriptor)
    assert {path.name for path in out.iterdir()} == {"df5c5206", ".x.enc.alive.part~"}


def test_messages_hold_no_path_of_the_archive_inside(tmp_path: Path, out: Path) -> None:
    files = {"Musterfrau/a": NOISE, "Musterfrau/../../b": b"1"}
    plain = tar(files)
    for content in (packed(plain), packed(plain)[:-20], plain[:1000], packed(plain.replace(b"ustar", b"rusta", 1))):
        with pytest.raises(EcogvaultError) as caught:
            opened(encrypted(tmp_path / "x.enc", content), out)
        assert "Musterfrau" not in str(caught.value)


# --- size -------------------------------------------------------------------------------------------------------------

MEMORY = """
import sys
from pathlib import Path
from ecogvault.legacy import open_legacy
out = Path(sys.argv[2]) if sys.argv[2] else None
found = open_legacy(Path(sys.argv[1]), sys.argv[3].encode(), out)
assert found.proven and found.files[0][1] == int(sys.argv[4]), found.files
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak(archive: Path, out: Path | None, size: int) -> int:
    words = [str(archive), str(out or ""), PASSWORD.decode(), str(size)]
    path = str(Path(__file__).parents[2] / "scripts")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *words], env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize(
    ("level", "write"), [(0, True), (6, False)], ids=["300 MiB of archive", "300 MiB from 300 KiB"]
)
def test_memory_does_not_grow_with_the_archive(tmp_path: Path, out: Path, level: int, write: bool) -> None:
    def made(size: int) -> bytes:
        info = tarfile.TarInfo("a/x.avi")
        info.size = size
        packer = zlib.compressobj(level, wbits=31)
        parts = [packer.compress(info.tobuf()), *(packer.compress(bytes(MIB)) for _ in range(size // MIB))]
        return b"".join([*parts, packer.compress(bytes(10240)), packer.flush()])

    small = encrypted(tmp_path / "small.enc", made(MIB), cipher="aes-256-cbc", digest="sha256")
    large = encrypted(tmp_path / "large.enc", made(300 * MIB), cipher="aes-256-cbc", digest="sha256")
    baseline = peak(small, tmp_path / "small", MIB)
    assert peak(large, out if write else None, 300 * MIB) < baseline + 100 * 1024
    if write:
        assert hashlib.sha256((out / "a/x.avi").read_bytes()).digest() == hashlib.sha256(bytes(300 * MIB)).digest()
