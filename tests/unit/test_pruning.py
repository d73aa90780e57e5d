"""Which sealed tarballs may go, and what is said of those that stay."""

from pathlib import Path

import pytest

from ecogvault import ledger
from ecogvault.config import Config
from ecogvault.ledger import Copy, event
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.prune import Obstacle, obstacle_of, prune, report
from ecogvault.records import write_record

UNIT = Unit("df5c5206", 3, "vid")
SHA = "ab" * 32
SEALED = {"generation": 2, "manifest_sha256": SHA}


def there(evidence: str | None, generation: int = 2, sha256: str = SHA, fault: str | None = None) -> dict[int, Copy]:
    return {generation: Copy(generation, sha256, evidence=evidence, fault=fault)}


@pytest.mark.parametrize("evidence", ["listed", "rehashed", "restored"])
def test_what_every_destination_is_known_to_list_may_go(evidence: str) -> None:
    assert obstacle_of(["a", "b"], {"a": there("listed"), "b": there(evidence)}, SEALED) is None


@pytest.mark.parametrize(
    ("copies", "reason"),
    [
        ({}, "not there"),
        (there("listed", generation=1), "not there"),
        (there("listed", sha256="cd" * 32), "not there"),
        (there(None), "not complete"),
        (there(None, fault="missing"), "found missing"),
        (there("acknowledged"), "snakemake verify"),
    ],
)
def test_one_destination_without_proof_keeps_it_and_is_named(copies: dict[int, Copy], reason: str) -> None:
    obstacle = obstacle_of(["a", "b", "c"], {"a": there("listed"), "b": copies, "c": {}}, SEALED)
    assert obstacle is not None
    assert obstacle.destination == "b"
    assert reason in obstacle.reason


def test_without_any_destination_nothing_goes() -> None:
    assert obstacle_of([], {}, SEALED) is not None


def test_each_destination_that_keeps_some_gets_one_line() -> None:
    kept = [
        (UNIT, Obstacle("b", "it is not there")),
        (Unit("df5c5206", 4, "vid"), Obstacle("b", "it was found missing")),
        (Unit("df5c5206", 5, "vid"), Obstacle("", "no destination takes it")),
    ]
    assert report(["a", "b"], kept) == [
        "b: 2 kept, first df5c5206_3_vid: it is not there (and 1 other reasons)",
        "prune: 1 kept, first df5c5206_5_vid: no destination takes it",
    ]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A sealed unit whose copy at the one destination is listed."""
    config = Config({"results": str(tmp_path), "destinations": {"nas": {"type": "folder", "form": "tarball"}}})
    paths = Paths.of(config)
    paths.sealed(UNIT).parent.mkdir(parents=True)
    paths.sealed(UNIT).write_bytes(b"sealed")
    paths.index(UNIT).write_bytes(b"index")
    write_record(paths.statement(UNIT), SEALED)
    for line in (event("acknowledged", 2, SHA, bytes_sent=6), event("listed", 2, SHA)):
        ledger.append(paths.ledger("nas", UNIT), line, mode=0o600, group=None)
    return config


def test_tarball_and_index_go_and_the_statement_stays(config: Config) -> None:
    said: list[str] = []
    prune(config, say=said.append)
    assert [path.name for path in Paths.of(config).sealed(UNIT).parent.iterdir()] == [f"{UNIT}.statement.json"]
    assert said == ["prune: 1 sealed tarballs removed, 11 bytes freed; 0 kept"]


def test_keep_always_keeps_and_says_so(config: Config) -> None:
    said: list[str] = []
    prune(Config({**config.values, "sealed": {"path": None, "keep": "always"}}), say=said.append)
    assert Paths.of(config).sealed(UNIT).exists()
    assert said == ["prune: sealed.keep is `always`: every sealed tarball stays"]


def test_a_tarball_that_is_being_sent_or_has_no_statement_stays(config: Config) -> None:
    paths = Paths.of(config)
    said: list[str] = []
    with ledger.ledger_lock(paths, "nas", UNIT):
        prune(config, say=said.append)
    paths.statement(UNIT).write_bytes(b"{}")
    prune(config, say=said.append)
    assert paths.sealed(UNIT).exists()
    assert ["under way" in said[0], "statement is missing or damaged" in said[2]] == [True, True]
