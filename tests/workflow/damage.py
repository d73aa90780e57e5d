"""Faults below the library: a file that cannot be read from some byte on, a small disk, a user without rights."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Makes every read of a file, whose path holds $FAULT_PATH, fail with EIO from the byte $FAULT_AT on.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long allowed(int descriptor, off_t offset) {
    const char *wanted = getenv("FAULT_PATH");
    char link[64], path[4096];
    if (!wanted) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return -1;
    path[length] = 0;
    if (!strstr(path, wanted)) return -1;
    long left = atol(getenv("FAULT_AT")) - (long)offset;
    return left > 0 ? left : 0;
}

ssize_t pread64(int descriptor, void *buffer, size_t count, off_t offset) {
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    long left = allowed(descriptor, offset);
    if (left == 0 && count) { errno = EIO; return -1; }
    return real(descriptor, buffer, left > 0 && (size_t)left < count ? (size_t)left : count, offset);
}

ssize_t pread(int descriptor, void *buffer, size_t count, off_t offset) {
    return pread64(descriptor, buffer, count, offset);
}

ssize_t preadv64v2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t, int);
    if (!real) real = dlsym(RTLD_NEXT, "preadv64v2");
    if (allowed(descriptor, offset) < 0) return real(descriptor, pieces, count, offset, flags);
    return pread64(descriptor, pieces[0].iov_base, pieces[0].iov_len, offset);
}

ssize_t preadv2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
    return preadv64v2(descriptor, pieces, count, offset, flags);
}

ssize_t preadv64(int descriptor, const struct iovec *pieces, int count, off_t offset) {
    return preadv64v2(descriptor, pieces, count, offset, 0);
}

ssize_t preadv(int descriptor, const struct iovec *pieces, int count, off_t offset) {
    return preadv64v2(descriptor, pieces, count, offset, 0);
}

ssize_t read(int descriptor, void *buffer, size_t count) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    off_t offset = lseek(descriptor, 0, SEEK_CUR);
    long left = offset < 0 ? -1 : allowed(descriptor, offset);
    if (left == 0 && count) { errno = EIO; return -1; }
    return real(descriptor, buffer, left > 0 && (size_t)left < count ? (size_t)left : count);
}
"""


def build_shim(folder: Path) -> Path:
    """Compile the library to be preloaded."""
    source, library = folder / "fault.c", folder / "fault.so"
    source.write_text(_SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def unreadable(library: Path, path: str, at: int) -> dict[str, str | None]:
    """The environment in which files whose path holds `path` cannot be read from byte `at` on."""
    return {"LD_PRELOAD": str(library), "FAULT_PATH": path, "FAULT_AT": str(at)}


READABLE: dict[str, str | None] = {"LD_PRELOAD": None, "FAULT_PATH": None, "FAULT_AT": None}


@contextmanager
def small_disks(*folders: Path, size: str) -> Iterator[None]:
    """Mount a file system of `size` over each folder, made where it is missing, for the length of the block.

    It holds a file `.kept`: Snakemake would try to remove the mounted folder if it were empty.
    """
    mounted = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
            mounted.append(folder)
            (folder / ".kept").touch()
        yield
    finally:
        for folder in mounted:
            subprocess.run(["umount", folder], check=True)


def without_rights() -> list[str]:
    """Words before a command that take root's right to pass over modes away from it."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
