"""A sealed tarball opens without this project: Debian's age, or the npm package age-encryption, then zstd and tar."""

import os
import subprocess
from pathlib import Path

from ecogvault.age import HybridIdentity, X25519Identity, generate, write_identity_file
from ecogvault.manifest import Manifest, entry_of
from ecogvault.records import FIRST
from ecogvault.tarball import seal

UNIT = "df5c5206_3_vid"
FILES = {
    "vid/df5c5206_3/df5c5206_3_0001.avi": os.urandom(9_000_000),
    "vid/df5c5206_3/df5c5206_3.erd": b"\0\1\0\2" * 500_000,
    "vid/df5c5206_3/df5c5206_3.doc": b"",
}


def sealed(folder: Path, key: X25519Identity | HybridIdentity) -> Path:
    for path, data in FILES.items():
        (folder / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "root" / path).write_bytes(data)
    tarball = folder / f"{UNIT}.tar.zst.age"
    seal(
        Manifest.of(entry_of(folder / "root", path) for path in FILES),
        root=folder / "root",
        unit=UNIT,
        tarball=tarball,
        index=folder / "index.json",
        statement=folder / "statement.json",
        recipients=[key.recipient(), generate(classic=isinstance(key, X25519Identity)).recipient()],
        generation=1,
        previous_statement_sha256=FIRST,
        signing_key=folder / "signing.key",
        mtime=1_700_000_000,
        threads=2,
    )
    return tarball


def unpack(compressed: bytes, folder: Path) -> None:
    folder.mkdir()
    tar = subprocess.run(["zstd", "-d", "-q"], input=compressed, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "x", "-C", folder], input=tar, check=True)
    check(folder)


def check(folder: Path) -> None:
    for path, data in FILES.items():
        assert (folder / UNIT / path).read_bytes() == data
    command = next(
        line for line in (folder / UNIT / "HOW-TO-OPEN.txt").read_text().splitlines() if "sha256sum -c" in line
    )
    subprocess.run(["sh", "-c", command], cwd=folder / UNIT, check=True)


def test_age_zstd_and_tar_open_it(tmp_path: Path) -> None:
    key = generate(classic=True)
    write_identity_file(tmp_path / "key", key, None)
    tarball = sealed(tmp_path, key)
    pipeline = 'age -d -i "$1" "$2" | zstd -d | tar x -C "$3"'
    (tmp_path / "out").mkdir()
    words = ["bash", "-o", "pipefail", "-c", pipeline, "-", tmp_path / "key", tarball, tmp_path / "out"]
    subprocess.run(words, check=True)
    check(tmp_path / "out")


def test_the_npm_package_zstd_and_tar_open_a_post_quantum_one(tmp_path: Path, npm_tools: Path) -> None:
    key = generate()
    tarball = sealed(tmp_path, key)
    compressed = subprocess.run(
        ["node", npm_tools / "age.mjs", "decrypt", key.secret_text()],
        input=tarball.read_bytes(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    unpack(compressed, tmp_path / "out")
