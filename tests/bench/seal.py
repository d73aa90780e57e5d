"""Sealing and opening beside the programs that a lab would use instead: `make bench`.

All run as processes of their own, on the same data, in memory, in turns. The sealer makes SHA-256 of every file, tree
hash, CRC64NVME, index and signed statement on the way; the pipelines make none of these. Ours is shown with and
without the start of Python (0.13 CPU seconds), which a job of the graph has behind it when it seals.

Measured on two cores (Xeon with SHA-NI and AVX-512), nothing else running, 1 GiB, median of 3; what is beyond 1 is in
our favour, with the start of Python and without:

    sealing noise     age pipeline 0.79 / 0.87, pyrage 1.4 / 1.5, restic 4.6 / 5.0, borg 4.3 / 4.7,
                      the limit 0.75 / 0.82
    sealing EDF-like  age pipeline 1.29 / 1.39, pyrage 1.6 / 1.7, restic 5.9 / 6.3, borg 3.5 / 3.7;
                      size 0.745 to 0.746
    opening noise     age pipeline 1.24 / 1.45, the limit 0.77 / 0.90
    opening EDF-like  age pipeline 1.12 / 1.23
    what the lab did  14.7 / 23.2, on 128 MiB

What bounds sealing noise: the pipeline takes 2.2 CPU seconds for a GiB and hashes nothing; two SHA-256 alone take 1.43
(1.5 GB a second on a core, bound by the latency of one stream's rounds; the libraries in use have no way to hash two
streams in one core). The limit takes 2.46 and 1.28 s, so no program that makes these digests can be 1.5 times as fast
as a pipeline of 1.36 s here. Ours takes 2.8: libcrypto 1.50, the kernel (reading, the new file's pages, the copies
into them) 0.73, ChaCha20-Poly1305 0.35, CRC64NVME 0.07, Python 0.12, by perf(1) with one thread.

EDF-like data is bound by zstd's level 1, opening noise by SHA-256, pages and copies: ours takes 1.8 CPU seconds for a
GiB, the limit 1.7, the pipeline 2.5. What the lab did is bound by gzip and DES, 0.02 GB a second; 128 MiB of noise take
ours 0.25 s, of which the start of the checksum's library is 0.05 and the start of Python comes on top with 0.15.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from measuring import (
    MIB,
    SIZE,
    Measured,
    ecog,
    measure,
    memory_folder,
    noise,
    python,
    remove,
    side_by_side,
    warm_memory,
)

from ecogvault.age import generate, write_identity_file
from ecogvault.manifest import Manifest, entry_of

SEAL = """
import sys, time
from pathlib import Path
from ecogvault.age import read_recipients
from ecogvault.manifest import Manifest
from ecogvault.tarball import seal
here = Path(sys.argv[1])
began = time.perf_counter()
seal(Manifest.read(here / "manifest.tsv"), root=here / "data", unit="df5c5206_3_vid",
     tarball=here / "ours/x.tar.zst.age", index=here / "ours/x.index.json", statement=here / "ours/x.statement.json",
     recipients=read_recipients(here / "recipients.txt"), generation=1, previous_statement_sha256="0" * 64,
     signing_key=here / "signing.key", mtime=1700000000, threads=int(sys.argv[2]))
print(time.perf_counter() - began)
"""

OPEN = """
import sys, time
from pathlib import Path
from ecogvault.age import read_identities
from ecogvault.tarball import open_sealed_tarball, open_stream
here = Path(sys.argv[1])
began = time.perf_counter()
keys = read_identities(here / "key")
if sys.argv[2] == "range":
    open_sealed_tarball(here / "ours/x.tar.zst.age", keys, here / "out", threads=2)
else:
    with open(here / "ours/x.tar.zst.age", "rb", buffering=0) as stream:
        open_stream(stream, keys, here / "out", threads=2)
print(time.perf_counter() - began)
"""

PYRAGE = """
import sys
import pyrage
pyrage.encrypt_io(sys.stdin.buffer, sys.stdout.buffer, [pyrage.x25519.Recipient.from_str(sys.argv[1])])
"""

# What one pass cannot do without, on both cores at once, each with half of the bytes and buffers that it uses again.
LIMIT = """
import hashlib, os, sys, threading
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
MIB = 1 << 20
source, result, encrypt, size = sys.argv[1], sys.argv[2], sys.argv[3] == "seal", int(sys.argv[4])
read, write = os.open(source, os.O_RDONLY), os.open(result, os.O_WRONLY | os.O_CREAT)
def half(first):
    plain, sealed, view = bytearray(MIB), bytearray(MIB + 16), None
    aead, members, leaves = ChaCha20Poly1305(bytes(32)), hashlib.sha256(), hashlib.sha256()
    if not encrypt:
        aead.encrypt_into(bytes(12), plain, None, sealed)
    for offset in range(first, first + size // 2, MIB):
        os.preadv(read, [plain], offset)
        if encrypt:
            members.update(plain)
            aead.encrypt_into(bytes(12), plain, None, sealed)
            leaves.update(sealed)
            os.pwrite(write, sealed, offset)
        else:
            aead.decrypt_into(bytes(12), sealed, None, plain)
            members.update(plain)
            os.pwrite(write, plain, offset)
threads = [threading.Thread(target=half, args=(first,)) for first in (0, size // 2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


class Bench:
    """One folder in memory with data, keys and, one after the other, what each contender makes of them."""

    def __init__(self, here: Path) -> None:
        self.here = here
        key = generate(classic=True)  # Debian's age and pyrage know no other kind
        self.recipient = str(key.recipient())
        write_identity_file(here / "key", key, None)
        (here / "recipients.txt").write_text(f"{self.recipient}\n{generate(classic=True).recipient()}\n")
        (here / "password").write_text("a password of the past\n")
        (here / "ours").mkdir()

    def list_data(self) -> None:
        """Write the manifest of what lies in `data`, as de-identification leaves it."""
        root = self.here / "data"
        paths = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        Manifest.of(entry_of(root, path) for path in paths).write(self.here / "manifest.tsv")

    def run(self, command: str, made: str, *, keep: bool = False) -> Measured:
        """Measure a command that makes `made`; it is not there before, and not after unless it is kept."""
        remove(self.here / made)
        if made == "ours":
            (self.here / made).mkdir()
        warm_memory(self.here, SIZE * 3 // 2)
        environment = {
            "RESTIC_PASSWORD_FILE": str(self.here / "password"),
            "BORG_PASSPHRASE": "a password of the past",
            "BORG_BASE_DIR": str(self.here / "borg-home"),
            "GOMAXPROCS": "2",
        }
        found = measure(command, self.here, self.here / made, environment)
        if not keep:
            remove(self.here / made)
        return found

    def seal(self, threads: int = 2) -> Measured:
        """Our own."""
        return self.run(python(SEAL, self.here, threads), "ours", keep=True)

    def pipeline(self) -> Measured:
        """`tar | zstd -1 -T0 | age`."""
        return self.run(f"tar cf - data | zstd -q -1 -T0 | age -r {self.recipient} > theirs", "theirs", keep=True)

    def pyrage(self) -> Measured:
        """The same with pyrage for age."""
        return self.run(f"tar cf - data | zstd -q -1 -T0 | {python(PYRAGE, self.recipient)} > rage", "rage")

    def restic(self) -> Measured:
        """A new repository with one snapshot."""
        options = "-q --no-cache -r restic"
        made = f"restic init {options} --repository-version 2 && restic backup {options} data"
        return self.run(made, "restic")

    def borg(self) -> Measured:
        """A new repository with one archive."""
        made = "borg init -e repokey-blake2 borg && borg create -C auto,zstd,1 borg::one data"
        return self.run(made, "borg")

    def old(self) -> Measured:
        """What the lab did: `tar z | openssl enc -des`."""
        providers = "-provider legacy -provider default -md md5"
        return self.run(f"tar czf - data | openssl enc -des {providers} -pass file:password > old 2>/dev/null", "old")

    def limit(self, what: str = "seal") -> Measured:
        """One read, SHA-256 over what is sealed and over what is read, one encryption, one write; on both cores."""
        (self.here / "plain").write_bytes(b"")
        with open(self.here / "plain", "wb") as stream:
            for path in sorted((self.here / "data").iterdir()):
                stream.write(path.read_bytes())
        try:
            return self.run(python(LIMIT, "plain", "limit", what, (self.here / "plain").stat().st_size), "limit")
        finally:
            remove(self.here / "plain")

    def open(self, how: str) -> Measured:
        """Our own opening, every SHA-256 compared."""
        return self.run(python(OPEN, self.here, how), "out")

    def unpipe(self) -> Measured:
        """`age -d | zstd -d | tar x`."""
        return self.run("mkdir out && age -d -i key theirs | zstd -q -d | tar xf - -C out", "out")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with memory_folder() as here:
        yield Bench(here)


@pytest.mark.parametrize("data", [noise, ecog], ids=["incompressible", "EDF-like"])
def test_sealing_and_opening(bench: Bench, data) -> None:
    data(bench.here / "data")
    bench.list_data()
    what = {noise: "incompressible, 4 files", ecog: "EDF-like int16, 1 file"}[data]
    side_by_side(
        f"Sealing: {what}",
        SIZE,
        {
            "ecogvault": bench.seal,
            "tar | zstd -1 -T0 | age": bench.pipeline,
            "tar | zstd -1 -T0 | pyrage": bench.pyrage,
            "restic": bench.restic,
            "borg": bench.borg,
            "the limit": bench.limit,
            "ecogvault, one thread": lambda: bench.seal(1),
        },
    )
    bench.seal()
    side_by_side(
        f"Opening: {what}",
        SIZE,
        {
            "ecogvault": lambda: bench.open("range"),
            "age -d | zstd -d | tar x": bench.unpipe,
            "ecogvault, from a pipe": lambda: bench.open("stream"),
            "the limit": lambda: bench.limit("open"),
        },
    )


def test_beside_what_the_lab_did(bench: Bench) -> None:
    size = min(SIZE, 128 * MIB)
    noise(bench.here / "data", size)
    bench.list_data()
    side_by_side(
        "Sealing: incompressible, 4 files", size, {"ecogvault": bench.seal, "tar z | openssl enc -des": bench.old}
    )
