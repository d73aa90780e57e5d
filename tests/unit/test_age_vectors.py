"""The community's age test vectors (npm cctv-age): every one passes or fails in the class it names."""

import hashlib
import io
import subprocess
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecogvault.age import (
    AgeError,
    ArmorError,
    BytesSource,
    HeaderError,
    HeaderMacError,
    Identity,
    NoMatchingIdentity,
    Passphrase,
    PayloadError,
    armor,
    dearmor,
    decrypt_stream,
    open_sealed,
    parse_identity,
)
from ecogvault.age.header import parse_header, render_header

CLASSES: dict[str, type[AgeError] | None] = {
    "success": None,
    "no match": NoMatchingIdentity,
    "HMAC failure": HeaderMacError,
    "header failure": HeaderError,
    "payload failure": PayloadError,
    "armor failure": ArmorError,
}
COUNTS = {
    "success": 26,
    "no match": 13,
    "HMAC failure": 1,
    "header failure": 62,
    "payload failure": 19,
    "armor failure": 22,
}
KNOWN = {"expect", "payload", "identity", "passphrase", "armored", "file key", "comment", "compressed"}


@dataclass
class Vector:
    name: str
    expect: str
    payload: str | None
    file_key: bytes
    identities: list[Identity]
    data: bytes


def read_vector(path: Path) -> Vector:
    head, _, data = path.read_bytes().partition(b"\n\n")
    fields = [tuple(line.split(": ", 1)) for line in head.decode().splitlines()]
    assert {key for key, _ in fields} <= KNOWN
    single = dict(fields)
    identities: list[Identity] = [parse_identity(value) for key, value in fields if key == "identity"]
    identities += [Passphrase(value.encode()) for key, value in fields if key == "passphrase"]
    if "compressed" in single:
        assert single["compressed"] == "zlib"
        data = zlib.decompress(data)
    file_key = bytes.fromhex(single.get("file key", ""))
    return Vector(path.name, single["expect"], single.get("payload"), file_key, identities, data)


@pytest.fixture(scope="module")
def vectors(npm_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Vector]:
    folder = tmp_path_factory.mktemp("vectors")
    subprocess.run(["node", npm_tools / "vectors.mjs", folder], check=True)
    return [read_vector(path) for path in sorted(folder.iterdir())]


def test_no_vector_is_left_out(vectors: list[Vector]) -> None:
    assert Counter(vector.expect for vector in vectors) == COUNTS


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("expect", CLASSES)
def test_streaming_ends_as_each_vector_says_and_releases_exactly_its_payload(
    vectors: list[Vector], expect: str, threads: int
) -> None:
    wrong: list[str] = []
    for vector in vectors:
        if vector.expect != expect:
            continue
        content = bytearray()
        outcome: type[BaseException] | None = None
        try:
            decrypt_stream(io.BytesIO(vector.data), vector.identities, content.extend, threads=threads)
        except AgeError as error:
            outcome = next(kind for kind in CLASSES.values() if kind is not None and isinstance(error, kind))
        if outcome is not CLASSES[expect]:
            wrong.append(f"{vector.name}: {outcome}")
        released = hashlib.sha256(content).hexdigest()
        if vector.payload is not None and released != vector.payload:
            wrong.append(f"{vector.name}: released other bytes than the vector says")
        if vector.payload is None and content:
            wrong.append(f"{vector.name}: released something")
    assert wrong == []


@pytest.mark.parametrize("expect", CLASSES)
def test_reading_by_range_ends_as_each_vector_says(vectors: list[Vector], expect: str) -> None:
    wrong: list[str] = []
    for vector in vectors:
        if vector.expect != expect:
            continue
        outcome: type[BaseException] | None = None
        try:
            plain = open_sealed(BytesSource(vector.data), vector.identities)
            content = plain.read_at(0, plain.size)
            if hashlib.sha256(content).hexdigest() != vector.payload:
                wrong.append(f"{vector.name}: other bytes than the vector says")
        except AgeError as error:
            outcome = next(kind for kind in CLASSES.values() if kind is not None and isinstance(error, kind))
        if outcome is not CLASSES[expect]:
            wrong.append(f"{vector.name}: {outcome}")
    assert wrong == []


def test_every_header_that_parses_is_written_again_byte_for_byte(vectors: list[Vector]) -> None:
    checked = 0
    for vector in vectors:
        if vector.expect not in ("success", "payload failure"):
            continue
        data = dearmor(vector.data) if vector.data.lstrip().startswith(b"-----") else vector.data
        header = parse_header(data)
        assert render_header(header.stanzas, vector.file_key) == header.raw, vector.name
        checked += 1
    assert checked == 45


def test_armor_that_is_read_is_written_again_byte_for_byte_but_for_line_ends_and_outer_space(
    vectors: list[Vector],
) -> None:
    checked = 0
    for vector in vectors:
        if vector.expect == "success" and vector.name.startswith("armor"):
            normal = vector.data.replace(b"\r\n", b"\n").strip() + b"\n"
            assert armor(dearmor(vector.data)) == normal, vector.name
            checked += 1
    assert checked == 7
