"""Numbers of bytes, said so that a person can compare them. Pure."""

_DECIMAL = ((1000**3, "GB"), (1000**2, "MB"), (1000, "kB"))
_BINARY = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def fitting(size: float, *, binary: bool = False) -> str:
    """`size` bytes in the largest unit of which it is at least one, GB at most: "4.00 GB", "17.42 kB", "812 bytes".

    With `binary` in GiB, MiB and KiB, as what the configuration counts in GiB.
    """
    factor, unit = _unit(size, binary=binary)
    return f"{size / factor:.2f} {unit}" if unit else plain(round(size))


def plain(size: int) -> str:
    """`size` in bytes alone."""
    return f"{size} byte{'' if size == 1 else 's'}"


def exact(size: int) -> str:
    """`size` in bytes, and in a fitting unit behind them where there is one: "17420 bytes (17.42 kB)"."""
    return f"{plain(size)} ({fitting(size)})" if _unit(size, binary=False)[1] else plain(size)


def part(done: int, total: int) -> str:
    """How much of `total` is done, both in the unit that fits `total`: "3.00 of 4.00 GB"."""
    factor, unit = _unit(total, binary=False)
    return f"{done / factor:.2f} of {total / factor:.2f} {unit}" if unit else f"{done} of {plain(total)}"


def _unit(size: float, *, binary: bool) -> tuple[int, str]:
    for factor, unit in _BINARY if binary else _DECIMAL:
        if size >= factor:
            return factor, unit
    return 1, ""
