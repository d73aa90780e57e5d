"""Sealing and opening: whole files, any range, and every kind of damage."""

import io
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.age import (
    CHUNK,
    SEALED_CHUNK,
    AgeError,
    ArmorError,
    BytesSource,
    Envelope,
    FileSource,
    HeaderMacError,
    Passphrase,
    PayloadError,
    SealedView,
    Sealer,
    SourceChanged,
    X25519Identity,
    armor,
    chunks_of_range,
    dearmor,
    decrypt_stream,
    first_damage,
    new_envelope,
    open_sealed,
    plain_size,
    seal_range,
    sealed_size,
)

KEY = X25519Identity(bytes(range(32)))
ENVELOPE = new_envelope([KEY.recipient()])
BATCH = 16 * CHUNK
EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 200_000, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 3 * BATCH + 7]
sizes = st.one_of(st.sampled_from(EDGES), st.integers(0, 5 * CHUNK), st.integers(0, 3 * BATCH))


@cache
def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def seal(plain: bytes, *, writes: int = 1 << 30, threads: int = 1, envelope: Envelope = ENVELOPE) -> bytes:
    sealed = bytearray()
    with Sealer(envelope, sealed.extend, threads=threads) as sealer:
        for start in range(0, len(plain), writes):
            sealer.write(memoryview(plain)[start : start + writes])
    return bytes(sealed)


@cache
def sealed_content(size: int) -> bytes:
    return seal(content(size))


def unseal(sealed: bytes, *, threads: int = 1) -> bytes:
    plain = bytearray()
    size = decrypt_stream(io.BytesIO(sealed), [KEY], plain.extend, threads=threads)
    assert size == len(plain)
    return bytes(plain)


def head_size() -> int:
    return len(ENVELOPE.header) + 16


# --- whole files ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_content_comes_back(plain: bytes) -> None:
    assert unseal(seal(plain)) == plain


@settings(max_examples=60, deadline=None)
@given(
    size=sizes, writes=st.sampled_from([1000, CHUNK, CHUNK + 1, BATCH, BATCH + 1, 1 << 30]), threads=st.integers(1, 3)
)
def test_the_sealed_bytes_depend_neither_on_the_sizes_of_the_writes_nor_on_threads(
    size: int, writes: int, threads: int
) -> None:
    sealed = seal(content(size), writes=writes, threads=threads)
    assert sealed == sealed_content(size)
    assert len(sealed) == sealed_size(len(ENVELOPE.header), size)
    assert plain_size(len(ENVELOPE.header), len(sealed)) == size
    assert unseal(sealed, threads=threads) == content(size)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2 * BATCH), max_size=6))
def test_writes_of_changing_sizes_make_the_same_file(lengths: list[int]) -> None:
    plain = content(sum(lengths))
    sealed = bytearray()
    position = 0
    with Sealer(ENVELOPE, sealed.extend) as sealer:
        for length in lengths:
            assert sealer.write(plain[position : position + length]) == length
            position += length
    assert sealed == seal(plain)


def test_a_reader_that_gives_few_bytes_at_a_time_is_read_to_its_end() -> None:
    class Trickle:
        def __init__(self, data: bytes) -> None:
            self.stream = io.BytesIO(data)

        def read(self, size: int, /) -> bytes:
            return self.stream.read(min(size, 777))

    plain = bytearray()
    decrypt_stream(Trickle(sealed_content(200_000)), [KEY], plain.extend)
    assert plain == content(200_000)


def test_leaving_a_sealer_by_an_exception_does_not_make_a_whole_file() -> None:
    sealed = bytearray()
    sealer = Sealer(ENVELOPE, sealed.extend)
    sealer.write(content(CHUNK))
    with pytest.raises(KeyError), sealer:
        raise KeyError
    with pytest.raises(PayloadError):
        unseal(bytes(sealed))
    with pytest.raises(ValueError, match="closed"):
        sealer.write(b"more")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_the_sink_comes_through(threads: int) -> None:
    def full(view: memoryview) -> None:
        if len(view) > 1000:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), Sealer(ENVELOPE, full, threads=threads) as sealer:
        sealer.write(content(3 * BATCH))
    with pytest.raises(OSError, match="No space"):
        decrypt_stream(io.BytesIO(sealed_content(3 * BATCH + 7)), [KEY], full, threads=threads)


def test_two_envelopes_share_neither_key_nor_nonce() -> None:
    one, other = new_envelope([KEY.recipient()]), new_envelope([KEY.recipient()])
    assert one.file_key != other.file_key
    assert one.nonce != other.nonce
    assert one.file_key.hex() not in repr(one)
    assert repr(one.file_key) not in repr(one)


# --- ranges -----------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(data=st.data(), size=sizes)
def test_reading_a_range_gives_what_slicing_the_content_gives(data: st.DataObject, size: int) -> None:
    offset = data.draw(st.integers(0, size + 10))
    length = data.draw(st.one_of(st.integers(0, 70_000), st.integers(0, size + 10)))
    plain = open_sealed(BytesSource(sealed_content(size)), [KEY])
    assert plain.size == size
    assert plain.read_at(offset, length) == content(size)[offset : offset + length]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), size=sizes)
def test_a_file_sealed_while_it_is_read_is_the_same_in_every_range(data: st.DataObject, size: int) -> None:
    whole = sealed_content(size)
    view = SealedView(ENVELOPE, BytesSource(content(size)))
    assert view.size == len(whole)
    offset = data.draw(st.one_of(st.integers(0, len(whole) + 10), st.integers(0, 300)))
    length = data.draw(st.one_of(st.integers(0, 70_000), st.integers(0, len(whole) + 10)))
    assert view.read_at(offset, length) == whole[offset : offset + length]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=sizes)
def test_any_run_of_chunks_sealed_alone_is_that_part_of_the_file(data: st.DataObject, size: int) -> None:
    total = max(1, -(-size // CHUNK))
    first = data.draw(st.integers(0, total - 1))
    count = data.draw(st.integers(1, total + 2))
    source = BytesSource(content(size))

    def read_into(offset: int, buffer: memoryview) -> int:
        part = source.read_at(offset, len(buffer))
        buffer[: len(part)] = part
        return len(part)

    start = head_size() + first * SEALED_CHUNK
    assert (
        seal_range(ENVELOPE, read_into, first, count, size)
        == sealed_content(size)[start : start + count * SEALED_CHUNK]
    )


def test_no_chunk_is_sealed_beyond_the_end() -> None:
    with pytest.raises(ValueError, match="chunk 1"):
        seal_range(ENVELOPE, lambda _offset, buffer: len(buffer), 1, 1, CHUNK)


@given(offset=st.integers(0, 10**7), length=st.integers(1, 10**6), header=st.integers(100, 5000))
def test_chunks_of_range_cover_the_range_and_no_more(offset: int, length: int, header: int) -> None:
    first, count, skip = chunks_of_range(header, offset, length)
    payload = header + 16
    assert payload + first * SEALED_CHUNK + skip == offset
    end = payload + (first + count) * SEALED_CHUNK
    assert end >= offset + length
    assert count == 0 or end - SEALED_CHUNK < offset + length
    assert skip < SEALED_CHUNK


def test_reading_a_range_fetches_the_chunks_of_that_range_alone() -> None:
    class Counting(BytesSource):
        fetched = 0

        def read_at(self, offset: int, length: int, /) -> memoryview:
            self.fetched += length
            return super().read_at(offset, length)

    source = Counting(sealed_content(3 * BATCH + 7))
    plain = open_sealed(source, [KEY])
    source.fetched = 0
    assert plain.read_at(20 * CHUNK + 5, CHUNK) == content(3 * BATCH + 7)[20 * CHUNK + 5 : 21 * CHUNK + 5]
    assert source.fetched == 2 * SEALED_CHUNK
    plain.read_at(21 * CHUNK + 6, 100)
    assert source.fetched == 2 * SEALED_CHUNK


def test_content_that_became_shorter_is_not_sealed() -> None:
    view = SealedView(ENVELOPE, BytesSource(content(CHUNK)), CHUNK + 1)
    with pytest.raises(SourceChanged, match="byte 65537"):
        view.read_at(0, view.size)


def test_a_file_on_disk_is_read_by_range(tmp_path: Path) -> None:
    (tmp_path / "sealed.age").write_bytes(sealed_content(200_000))
    with open(tmp_path / "sealed.age", "rb") as stream:
        plain = open_sealed(FileSource(stream.fileno()), [KEY])
        assert plain.read_at(1000, 150_000) == content(200_000)[1000:151_000]
        assert FileSource(stream.fileno()).read_at(10, 5) == sealed_content(200_000)[10:15]


def test_a_restored_envelope_goes_on_with_the_same_bytes_and_a_wrong_key_is_refused() -> None:
    again = Envelope.restore(ENVELOPE.header, ENVELOPE.file_key, ENVELOPE.nonce)
    assert seal(content(CHUNK + 1), envelope=again) == sealed_content(CHUNK + 1)
    with pytest.raises(HeaderMacError):
        Envelope.restore(ENVELOPE.header, bytes(16), ENVELOPE.nonce)


def test_a_new_header_in_front_of_the_old_payload_opens_for_the_new_recipient_alone() -> None:
    other = X25519Identity(bytes(reversed(range(32))))
    plain = open_sealed(BytesSource(sealed_content(CHUNK + 1)), [KEY])
    header = plain.envelope.readdressed([other.recipient()]).header
    moved = header + sealed_content(CHUNK + 1)[len(ENVELOPE.header) :]
    assert open_sealed(BytesSource(moved), [other]).read_at(0, CHUNK + 1) == content(CHUNK + 1)
    with pytest.raises(AgeError):
        open_sealed(BytesSource(moved), [KEY])


# --- damage -----------------------------------------------------------------------------------------------------------


def assert_refused(sealed: bytes, original: bytes) -> None:
    """Both ways of reading refuse `sealed`, and nothing is released that is not the beginning of `original`."""
    released = bytearray()
    with pytest.raises(AgeError):
        decrypt_stream(io.BytesIO(sealed), [KEY], released.extend)
    assert original.startswith(released)
    with pytest.raises(AgeError):
        open_sealed(BytesSource(sealed), [KEY]).read_at(0, len(sealed))


@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_every_flipped_byte_of_a_small_file_is_detected(bit: int) -> None:
    sealed = bytearray(sealed_content(100))
    for position in range(len(sealed)):
        sealed[position] ^= bit
        assert_refused(bytes(sealed), content(100))
        sealed[position] ^= bit
    assert unseal(bytes(sealed)) == content(100)


def test_every_flipped_byte_of_an_armored_file_is_detected_or_changes_nothing() -> None:
    armored = bytearray(armor(sealed_content(100)))
    for position in range(len(armored)):
        armored[position] ^= 0x01
        released = bytearray()
        with pytest.raises(AgeError):
            decrypt_stream(io.BytesIO(armored), [KEY], released.extend)
        assert released in (b"", content(100))
        armored[position] ^= 0x01


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(0, 4 * CHUNK))
def test_a_flipped_bit_anywhere_in_a_larger_file_is_detected(data: st.DataObject, size: int) -> None:
    sealed = bytearray(sealed_content(size))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert_refused(bytes(sealed), content(size))


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5, BATCH, BATCH + 1, 2 * BATCH])
def test_truncation_at_and_around_every_chunk_boundary_is_detected(size: int) -> None:
    sealed = sealed_content(size)
    boundaries = range(head_size(), len(sealed) + SEALED_CHUNK, SEALED_CHUNK)
    cuts = {boundary + shift for boundary in boundaries for shift in (-17, -16, -1, 0, 1, 15, 16, 17)}
    cuts |= {len(sealed) - 1, len(sealed) - 16, len(ENVELOPE.header), 0, 10}
    for cut in sorted(cuts):
        if 0 <= cut < len(sealed):
            assert_refused(sealed[:cut], content(size))


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, BATCH])
def test_anything_added_at_the_end_is_detected(size: int) -> None:
    for more in (b"\0", bytes(16), bytes(17), bytes(SEALED_CHUNK), sealed_content(size)[head_size() :]):
        assert_refused(sealed_content(size) + more, content(size))


@pytest.mark.parametrize("size", [3 * CHUNK, 4 * CHUNK + 5])
def test_removed_doubled_and_swapped_chunks_are_detected(size: int) -> None:
    sealed = sealed_content(size)
    head, payload = sealed[: head_size()], sealed[head_size() :]
    chunks = [payload[start : start + SEALED_CHUNK] for start in range(0, len(payload), SEALED_CHUNK)]
    for one in range(len(chunks)):
        assert_refused(head + b"".join(chunks[:one] + chunks[one + 1 :]), content(size))
        assert_refused(head + b"".join([*chunks[: one + 1], *chunks[one:]]), content(size))
        for other in range(one):
            swapped = chunks.copy()
            swapped[one], swapped[other] = swapped[other], swapped[one]
            assert_refused(head + b"".join(swapped), content(size))


def test_a_chunk_of_another_file_is_detected() -> None:
    other = seal(content(3 * CHUNK), envelope=new_envelope([KEY.recipient()]))
    start = head_size() + SEALED_CHUNK
    mixed = bytearray(sealed_content(3 * CHUNK))
    mixed[start : start + SEALED_CHUNK] = other[start : start + SEALED_CHUNK]
    assert_refused(bytes(mixed), content(3 * CHUNK))


def test_damage_is_reported_with_the_place_where_it_is() -> None:
    sealed = bytearray(sealed_content(4 * CHUNK))
    sealed[head_size() + 2 * SEALED_CHUNK + 100] ^= 1
    with pytest.raises(PayloadError, match=r"damaged in chunk 2 \(from byte 131072"):
        unseal(bytes(sealed))
    with pytest.raises(PayloadError, match=r"cut off before chunk 2 \(from byte 131072"):
        unseal(sealed_content(4 * CHUNK)[: head_size() + 2 * SEALED_CHUNK])


def rearranged(chunks: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Every flip, removal, doubling and swap of whole chunks and every cut between them, with the first wrong chunk."""
    for one in range(len(chunks)):
        flipped = bytes([chunks[one][0] ^ 1]) + chunks[one][1:]
        yield one, [*chunks[:one], flipped, *chunks[one + 1 :]]
        yield one, chunks[:one] + chunks[one + 1 :]
        yield one, chunks[:one]
        # A short last chunk and what follows it are read as one chunk, which is then the wrong one.
        yield one + (len(chunks[one]) == SEALED_CHUNK), [*chunks[: one + 1], *chunks[one:]]
        for other in range(one):
            swapped = chunks.copy()
            swapped[one], swapped[other] = swapped[other], swapped[one]
            yield other, swapped


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, CHUNK, 3 * CHUNK, 4 * CHUNK + 5, BATCH + CHUNK])
def test_the_first_chunk_that_is_not_as_it_was_sealed_is_named(size: int, threads: int) -> None:
    sealed = sealed_content(size)
    head, payload = sealed[: head_size()], sealed[head_size() :]
    chunks = [payload[start : start + SEALED_CHUNK] for start in range(0, len(payload), SEALED_CHUNK)]
    for first, pieces in rearranged(chunks):
        stream = io.BytesIO(head + b"".join(pieces))
        error = first_damage(stream, [KEY], threads=threads)
        assert re.findall(r"chunk (\d+) \(from byte (\d+) of", str(error)) == [(str(first), str(first * CHUNK))]
    assert first_damage(io.BytesIO(sealed), [KEY], threads=threads) is None


@pytest.mark.parametrize("size", [1, CHUNK, 3 * CHUNK + 5])
def test_a_truncation_is_called_one_wherever_it_is(size: int) -> None:
    sealed = sealed_content(size)
    for cut in {*range(head_size(), len(sealed), SEALED_CHUNK), *range(head_size() + 7, len(sealed), 30_011)}:
        error = first_damage(io.BytesIO(sealed[:cut]), [KEY])
        first = (cut - head_size()) // SEALED_CHUNK
        assert re.search(rf"cut off (or damaged )?(in|before) chunk {first} ", str(error)), (cut, error)


def test_parts_of_a_damaged_file_that_are_whole_can_still_be_read_by_range() -> None:
    sealed = bytearray(sealed_content(4 * CHUNK))
    sealed[head_size() + 2 * SEALED_CHUNK + 100] ^= 1
    plain = open_sealed(BytesSource(bytes(sealed)), [KEY])
    assert plain.read_at(0, 2 * CHUNK) == content(4 * CHUNK)[: 2 * CHUNK]
    assert plain.read_at(3 * CHUNK, CHUNK) == content(4 * CHUNK)[3 * CHUNK :]
    with pytest.raises(PayloadError, match="chunk 2"):
        plain.read_at(CHUNK, 2 * CHUNK)


def test_a_file_that_shrinks_after_it_was_opened_is_reported() -> None:
    class Shrinking(BytesSource):
        limit = 1 << 40

        def read_at(self, offset: int, length: int, /) -> memoryview:
            return super().read_at(offset, max(0, min(length, self.limit - offset)))

    source = Shrinking(sealed_content(4 * CHUNK))
    plain = open_sealed(source, [KEY])
    source.limit = head_size() + SEALED_CHUNK
    with pytest.raises(PayloadError, match="cut off while it was read"):
        plain.read_at(0, 3 * CHUNK)


@given(st.binary(max_size=400))
def test_armor_and_back_changes_nothing(data: bytes) -> None:
    armored = armor(data)
    assert dearmor(armored) == data
    assert dearmor(b" \r\n\t" + armored.replace(b"\n", b"\r\n") + b"\n \n") == data
    assert max(len(line) for line in armored.splitlines()) <= 64


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3 * CHUNK))
def test_armored_files_are_read_like_binary_ones(size: int) -> None:
    armored = armor(sealed_content(size))
    assert unseal(armored) == content(size)
    assert open_sealed(BytesSource(armored), [KEY]).read_at(5, 100_000) == content(size)[5:100_005]


def test_text_before_armor_is_reported_as_such() -> None:
    with pytest.raises(ArmorError, match="begin"):
        unseal(b"Dear colleague,\n" + armor(sealed_content(1)))


def test_a_passphrase_opens_its_file() -> None:
    sealed = seal(b"content", envelope=new_envelope([Passphrase(b"a long passphrase", work_factor=4)]))
    plain = open_sealed(BytesSource(sealed), [KEY, Passphrase(b"a long passphrase")])
    assert plain.read_at(0, 7) == b"content"
