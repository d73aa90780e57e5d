"""One clip of 30 MiB out of a sealed tarball of 256 MiB costs little more than itself, counted on its way here."""

from collections.abc import Iterator

import pytest
from large_tarball import MIB, WANTED, LargeTarball, large_tarball

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("large")]


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeTarball]:
    with large_tarball(tmp_path_factory.mktemp("large"), 9) as made:
        yield made


@pytest.mark.parametrize("name", ["s3", "azure"])
def test_one_file_costs_at_most_itself_and_four_mib(tarball: LargeTarball, name: str) -> None:
    assert tarball.size > 256 * MIB
    given = tarball.cost(name)
    print(f"{name}: {given / MIB:.2f} MiB given for a file of 30 MiB")
    assert WANTED < given <= WANTED + 4 * MIB


def test_from_a_vault_it_costs_its_range_of_whole_mib_and_the_ends(tarball: LargeTarball) -> None:
    given = tarball.cost("glacier")
    print(f"glacier: {given / MIB:.2f} MiB given for a file of 30 MiB")
    # A range is widened to one that Amazon gives a tree hash of, where that is at most a quarter more.
    assert WANTED < given <= 1.25 * (WANTED + 2 * MIB) + 4 * MIB
