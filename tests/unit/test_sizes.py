"""Numbers of bytes for people: no size is shown as nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.sizes import exact, fitting, part


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (812, "812 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (17_420, "17.42 kB"),
        (994_999, "995.00 kB"),
        (1_000_000, "1.00 MB"),
        (125_829_120, "125.83 MB"),
        (4 * 10**9, "4.00 GB"),
        (10**18, "1000000000.00 GB"),
    ],
)
def test_a_size_is_said_in_the_unit_that_fits(size: int, said: str) -> None:
    assert fitting(size) == said


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 bytes"), (1 << 10, "1.00 KiB"), (3 << 19, "1.50 MiB"), (100 << 30, "100.00 GiB")]
)
def test_a_size_in_binary_units(size: int, said: str) -> None:
    assert fitting(size, binary=True) == said


@given(st.integers(1, 10**15), st.booleans())
def test_nothing_but_nothing_is_shown_as_nothing(size: int, binary: bool) -> None:
    said = fitting(size, binary=binary)
    number, unit = said.split()
    factor = {"bytes": 1, "byte": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
    assert float(number) >= 1
    assert abs(float(number) * factor - size) <= 0.0051 * factor


def test_exact_sizes_and_parts() -> None:
    assert exact(812) == "812 bytes"
    assert exact(17_420) == "17420 bytes (17.42 kB)"
    assert part(3 * 10**9, 4 * 10**9) == "3.00 of 4.00 GB"
    assert part(500, 20_000) == "0.50 of 20.00 kB"
    assert part(5, 20) == "5 of 20 bytes"
    assert part(0, 0) == "0 of 0 bytes"
    assert re.fullmatch(r"0 of 1 byte", part(0, 1))
