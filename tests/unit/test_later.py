"""Old copies come back from where nothing can be read at once, and are modernised once they are here. Names made up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_lab import ArchiveLab

from ecogvault import ledger, verify
from ecogvault.config import check
from ecogvault.costs import TooDear
from ecogvault.estate.adopt import adopt
from ecogvault.estate.journal import Adopted, all_adopted
from ecogvault.estate.later import restore_asked
from ecogvault.estate.modernise import modernise, survey
from ecogvault.naming import Unit
from ecogvault.registry import make_person
from ecogvault.registry.existing import register_existing
from ecogvault.retrieve import NotAllRestored
from legacy_builder import AVI, PASSWORD, encrypted, packed, tar
from vaults import DAY, HOUR, VaultServer, serving

CODE = "df5c5206"
FILES = {f"media/disk/{CODE}_3/{CODE}_3_000{n}.avi": AVI * n for n in (1, 2)}
NAME = f"{CODE}_vid.tar.gz.enc"
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"


class OldVault:
    """A vault with an archive of the old scripts, adopted from its inventory."""

    def __init__(self, folder: Path, server: VaultServer) -> None:
        self.lab = ArchiveLab(folder, {"nas": {"form": "files"}})
        self.server, self.vault = server, server.vault()
        server.order(reset=True, faults=[], skew=0)
        (folder / "password").write_bytes(PASSWORD + b"\n")
        (folder / "password").chmod(0o600)
        body = encrypted(folder / "old.enc", packed(tar(FILES))).read_bytes()
        self.archive_id = server.client.upload_archive(vaultName=self.vault, archiveDescription=NAME, body=body)[
            "archiveId"
        ]
        place = {
            "type": "glacier",
            "zone": "outside",
            "form": "tarball",
            "vault": self.vault,
            "region": "us-west-2",
            "endpoint_url": server.details["endpoint_url"],
            "kinds": [],
        }
        values = {
            **self.lab.config.values,
            "legacy_password_file": str(folder / "password"),
            "modernised": str(folder / "modernised"),
        }
        values["destinations"] = {**values["destinations"], "glacier": place}
        self.config = check(values)
        for hours in (24, 6, 0):
            server.pass_time(hours * HOUR)
            verify.verify(check({**values, "from": "glacier"}), say=lambda line: None)
        adopt(self.config, self.lab.private, "glacier")

    @property
    def one(self) -> Adopted:
        return next(one for one in all_adopted(self.lab.paths) if one.old.name == NAME)

    def ask(self, **more: Any) -> list[str]:
        said: list[str] = []
        try:
            restore_asked(check({**self.config.values, "from": "glacier", "subject": CODE, **more}), say=said.append)
        except NotAllRestored as error:
            said.append(f"FAILED {error}")
        return said

    def modernise(self, **words: str) -> list[str]:
        said: list[str] = []
        modernise(check({**self.config.values, **words}), self.lab.private, say=said.append)
        return said

    @property
    def folder(self) -> Path:
        return self.lab.paths.restored / "glacier" / f"{CODE}_old" / NAME.partition(".")[0]

    def assert_restored(self, folder: Path | None = None) -> None:
        found = {path.name: path.read_bytes() for path in (folder or self.folder).rglob("*.avi")}
        assert found == {Path(path).name: content for path, content in FILES.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    with serving(tmp_path_factory.mktemp("sandbox") / "glacier") as found:
        yield found


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: VaultServer) -> OldVault:
    monkeypatch.chdir(tmp_path)
    return OldVault(tmp_path, server)


def test_an_old_archive_is_asked_for_waited_for_opened_and_then_modernised(old: OldVault) -> None:
    (line,) = old.ask()
    again = f"run `snakemake --cores 1 restore --config subject={CODE} from=glacier` again from "
    assert line.startswith(f"glacier: waiting for {NAME}: {again}")
    assert old.ask() == [line]
    assert old.server.counts()["InitiateJob"] == 2  # of which one was for the inventory
    # Modernising leaves alone what is not here.
    said = old.modernise(confirm="yes")
    assert said[0].startswith(f"{CODE}: {NAME} at glacier is in a Glacier vault: hours, and a fee: snakemake restore")
    assert said[-1] == "modernise: 0 old copies opened, 0 failed"

    old.server.pass_time(5 * HOUR)
    (line,) = old.ask()
    assert line.startswith(f"{NAME} from glacier: 2 files, none known here yet; ")
    old.assert_restored()
    assert old.ask() == [f"{NAME} from glacier: restored already"]
    place = old.lab.paths.restored / "glacier"
    assert not [path for path in place.iterdir() if path.is_dir() and path.name.startswith(".")]
    assert not list(old.lab.paths.results.glob("*/vault/glacier/*.old.*.json"))
    assert not list(place.rglob("*.enc"))

    # From now on it is like any other old copy.
    register_existing(old.lab.private, [(CODE, make_person("Trellwick", "Ottoline"))])
    assert [state.what for state in survey(old.config)] == ["waits"]
    assert "it was brought back already" in old.modernise()[0]
    assert "modernise: 1 old copies opened, 0 failed" in old.modernise(confirm="yes")
    old.assert_restored(old.lab.folder / "modernised" / f"{CODE}_old" / NAME.partition(".")[0])
    assert [state.what for state in survey(old.config)] == ["opened"]
    assert old.server.counts()["InitiateJob"] == 2


def test_a_job_that_expired_is_asked_for_again_and_what_came_is_kept(old: OldVault) -> None:
    old.ask()
    old.server.pass_time(5 * HOUR)
    old.server.faults(
        {"operation": "GetJobOutput", "break": "body", "count": 1},
        {"operation": "GetJobOutput", "error": "AccessDeniedException", "count": 1},
    )
    assert "permission denied" in old.ask()[0]
    old.server.faults()
    old.server.pass_time(2 * DAY)
    assert "waiting for" in old.ask()[-1]
    old.server.pass_time(5 * HOUR)
    old.ask()
    old.assert_restored()


def test_an_old_archive_that_is_damaged_is_not_opened(old: OldVault) -> None:
    old.server.order(damage={"vault": old.vault, "archive": old.archive_id, "offset": 100})
    old.ask()
    old.server.pass_time(5 * HOUR)
    said = old.ask()
    assert "other bytes than the vault confirms: this copy is damaged, and no other adopted copy" in said[0]
    assert "run again" not in said[0]
    assert said[-1].startswith("FAILED")
    assert not old.folder.exists()
    assert old.one.files is None


def test_adopted_copies_beside_others_in_the_same_vault_are_said_and_asked_for_alone(old: OldVault) -> None:
    unit = Unit(CODE, 9, "vid")
    one = {"key": "k", "archive_id": "x" * 138, "etag": None, "version_id": None, "size": 9}
    for kind, more in (("object", {"object": one}), ("acknowledged", {"bytes_sent": 9})):
        line = ledger.event(kind, 1, "0" * 64, **more)
        ledger.append(old.lab.paths.ledger("glacier", unit), line, mode=0o600, group=None)
    said = f"glacier has adopted copies of {CODE}, too: adopted=yes in the same command asks for these alone"
    assert said in old.ask()
    (line,) = old.ask(adopted="yes")
    assert line.startswith(f"glacier: waiting for {NAME}: run `")
    assert "adopted=yes" in line
    old.server.pass_time(5 * HOUR)
    old.ask(adopted="yes")
    old.assert_restored()


def test_what_lies_where_it_was_restored_must_be_what_came_out(old: OldVault) -> None:
    old.ask()
    old.server.pass_time(5 * HOUR)
    old.ask()
    next(old.folder.rglob("*_0001.avi")).write_bytes(b"other")
    said: list[str] = []
    with pytest.raises(Exception, match="could not be modernised"):
        modernise(check({**old.config.values, "confirm": "yes"}), old.lab.private, say=said.append)
    assert any("holds other files than came out of" in line for line in said)


def test_what_is_too_dear_is_not_asked_for(old: OldVault) -> None:
    with pytest.raises(TooDear):
        old.ask(max_cost=0.000000001, prices=str(PRICES))
    assert old.server.counts()["InitiateJob"] == 1
