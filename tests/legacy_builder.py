"""Archives as the lab made them, by the real `openssl enc`."""

import gzip
import io
import random
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

PASSWORD = b"ein altes Passwort, 1999"
NOISE = random.Random(7).randbytes(3000)
AVI = b"RIFF\x40\x1f\0\0AVI LIST" + bytes(range(256)) * 4
FILES = {"df5c5206/a.avi": AVI, "df5c5206/df5c5206_3/b.erd": NOISE, "df5c5206/empty": b""}


def tar(files: dict[str, bytes], *, format: int = tarfile.GNU_FORMAT, extra: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """A tar of these files and then of members without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(content), 1_000_000_000
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


def special(path: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A link, device or folder."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


def packed(plain: bytes) -> bytes:
    """gzip without a name or time, as in `tar z`."""
    return gzip.compress(plain, mtime=0)


def to_block(plain: bytes) -> bytes:
    """Filled with zeros up to a block of any cipher, as -nopad demands."""
    return plain + bytes(-len(plain) % 16)


def encrypted(path: Path, plain: bytes, *words: str, cipher: str = "des", digest: str = "md5") -> Path:
    """`path`, made by `openssl enc -CIPHER -md DIGEST WORDS`."""
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    providers = () if version.startswith("1.") else ("-provider", "legacy", "-provider", "default")
    made = subprocess.run(
        ["openssl", "enc", f"-{cipher}", "-md", digest, "-pass", "env:TEST_PASSWORD", *words, *providers],
        input=plain,
        env={"PATH": "/usr/bin:/bin", "TEST_PASSWORD": PASSWORD.decode()},
        capture_output=True,
        check=True,
    )
    path.write_bytes(made.stdout)
    return path
