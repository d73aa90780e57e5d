"""What several of the unit tests share: a vault service, and a lab that sends to it."""

from collections.abc import Iterator

import pytest
from vault_lab import VaultLab

from vaults import VaultServer, serving


@pytest.fixture(scope="session")
def vault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    with serving(tmp_path_factory.mktemp("sandbox") / "glacier") as found:
        yield found


@pytest.fixture(scope="session")
def made_vault_lab(tmp_path_factory: pytest.TempPathFactory, vault_server: VaultServer) -> VaultLab:
    return VaultLab(tmp_path_factory.mktemp("lab"), vault_server)


@pytest.fixture
def vault_lab(made_vault_lab: VaultLab) -> VaultLab:
    """Two units, sealed, and an empty vault."""
    made_vault_lab.renew()
    return made_vault_lab
