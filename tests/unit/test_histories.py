"""Random histories of loss, rot, overwriting, absence, and of what a lab then does: verify, repair, drill, prune.

Whatever the order, nothing that this program does makes a good object worse, lowers the number of good copies, acts on
a place that does not answer, or removes here what is not listed there. ECOGVAULT_HISTORIES is how many are tried.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archive_lab import ArchiveLab, rot
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ecogvault import layout
from ecogvault.config import check
from ecogvault.drill import drill
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.naming import Unit
from ecogvault.prune import prune
from ecogvault.prune_trees import ask, prune_trees
from ecogvault.records import parse_record
from ecogvault.repair import repair
from ecogvault.verify import verify

HISTORIES = int(os.environ.get("ECOGVAULT_HISTORIES", "8"))
FORMS: dict[str, dict[str, Any]] = {
    "deep": {"form": "tarball"},
    "vault": {"form": "tarball"},
    "nas": {"form": "files"},
    "disk": {"form": "files"},
}
PLACES = sorted(FORMS)
HARM = ("lost", "rotten", "overwritten")


def objects(root: Path) -> dict[str, bytes]:
    """What a place holds, by key; what was put aside there does not count."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not str(path.relative_to(root)).startswith("superseded/")
    }


class Histories(RuleBasedStateMachine):
    """Four places, two units, and a person who does things in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.before = Path.cwd()
        self.away: set[str] = set()

    @initialize()
    def archive(self) -> None:
        os.chdir(self.folder)
        self.lab = ArchiveLab(self.folder, FORMS).archived()
        self.good = {name: objects(self.folder / name) for name in PLACES}
        self.raw = objects(self.lab.raw)

    def teardown(self) -> None:
        os.chdir(self.before)
        shutil.rmtree(self.folder)

    # --- what happens to a lab ----------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(PLACES), number=st.integers(0, 50), how=st.sampled_from(HARM))
    def harm(self, name: str, number: int, how: str) -> None:
        keys = sorted(key for key in self.good[name] if self._path(name, key).exists())
        if name in self.away or not keys:
            return
        path = self._path(name, keys[number % len(keys)])
        if how == "lost":
            path.unlink()
        elif how == "overwritten":
            path.chmod(0o600)
            path.write_bytes(b"somebody else's")
        elif path.stat().st_size:
            rot(path)

    @precondition(lambda self: len(self.away) < len(PLACES))
    @rule(name=st.sampled_from(PLACES))
    def go_away(self, name: str) -> None:
        if name not in self.away:
            (self.folder / name).rename(self.folder / f"{name} away")
            self.away.add(name)

    @precondition(lambda self: self.away)
    @rule()
    def come_back(self) -> None:
        name = min(self.away)
        (self.folder / f"{name} away").rename(self.folder / name)
        self.away.remove(name)

    @rule(unit=st.integers(0, 1))
    def seal_again(self, unit: int) -> None:
        self._do(lambda: self._sealed(self.lab.units[unit]))

    # --- what this program does ---------------------------------------------------------------------------------------

    @rule(reads=st.booleans())
    def verify_copies(self, reads: bool) -> None:
        self._do(lambda: verify(self._config(rehash_gib=1 if reads else None), say=_quiet))

    @rule()
    def repair_copies(self) -> None:
        self._do(lambda: repair(self.lab.config, self.lab.private, say=_quiet))

    @rule()
    def drill_copies(self) -> None:
        self._do(lambda: drill(self._config(budget_gib=1), say=_quiet))

    @rule(unit=st.integers(0, 1), name=st.sampled_from(PLACES))
    def upload(self, unit: int, name: str) -> None:
        self._do(lambda: self.lab.upload(self.lab.units[unit], name))

    @rule()
    def prune_tarballs(self) -> None:
        sealed = {unit for unit in self.lab.units if self.lab.paths.sealed(unit).exists()}
        self._do(lambda: prune(self.lab.config, say=_quiet))
        for unit in sealed:
            assert self.lab.paths.sealed(unit).exists() or self._is_whole_everywhere_by_ledger(unit)

    @rule(acts=st.booleans())
    def prune_coded_files(self, acts: bool) -> None:
        trees = {unit for unit in self.lab.units if self._tree(unit)}
        config = self._config(confirm="yes" if acts else None)
        self._do(lambda: prune_trees(config, {}, ask(config, say=_quiet), say=_quiet))
        for unit in trees:
            assert self._tree(unit) or (acts and not self.away and self._is_there_everywhere(unit))

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def the_export_is_as_it_was(self) -> None:
        if hasattr(self, "raw"):
            assert objects(self.lab.raw) == self.raw

    def _do(self, action: Callable[[], object]) -> None:
        """Let the program do something; it may refuse, and may make nothing worse."""
        before = {name: self._intact(name) for name in PLACES}
        ledgers = {name: self._ledgers(name) for name in self.away}
        with contextlib.suppress(EcogvaultError):  # a refusal: what was done until then is looked at all the same
            action()
        for name in PLACES:
            assert before[name] <= self._intact(name), f"{name} lost what was good"
        for name in ("deep", "vault"):
            self._statements_are_of_what_they_lie_beside(name)
        for name, was in ledgers.items():
            assert self._evidence(was) == self._evidence(self._ledgers(name)), f"{name} is away, and was judged"

    def _statements_are_of_what_they_lie_beside(self, name: str) -> None:
        """No copy counts as complete whose tarball is another ciphertext than its statement describes."""
        for unit in self.lab.units:
            for copy in self.lab.copies(unit, name).values():
                tarball = next((one for one in copy.objects if str(one["key"]).endswith(".age")), None)
                path = self._path(name, layout.statement_key(unit, copy.generation))
                if copy.evidence is None or tarball is None or not path.exists():
                    continue
                with contextlib.suppress(Damaged):  # by this test's own hand
                    statement = parse_record(path.read_bytes(), what=str(path))
                    assert statement["sha256_tree"] == tarball["sha256_tree"], f"{unit} at {name}"

    def _intact(self, name: str) -> set[str]:
        """Keys under which a place holds what it is to hold: what was archived, or another sealing of the same."""
        found = objects(self._root(name))
        kept = self.good[name]
        for key, data in found.items():
            if key not in kept or (data != kept[key] and self._is_sealed_anew(key, data)):
                kept[key] = data
        return {key for key, data in found.items() if kept.get(key) == data}

    def _is_sealed_anew(self, key: str, data: bytes) -> bool:
        """Whether an object that differs from before was written on purpose: the newest sealing, or its statement."""
        unit = next((unit for unit in self.lab.units if f"{unit}." in key), None)
        if unit is None:
            return False
        mine = [self.lab.paths.sealed(unit), self.lab.paths.statement(unit)]
        elsewhere = [kept[key] for kept in self.good.values() if key in kept]
        return data in [*(path.read_bytes() for path in mine if path.exists()), *elsewhere] or key.endswith(
            (".statement.json", ".manifest.age")
        )

    def _is_there_everywhere(self, unit: Unit) -> bool:
        for name in PLACES:
            copy = max(self.lab.copies(unit, name).values(), key=lambda one: one.generation)
            for one in copy.objects:
                path = self._path(name, str(one["key"]))
                if not path.exists() or path.stat().st_size != one["size"]:
                    return False
        return True

    def _is_whole_everywhere_by_ledger(self, unit: Unit) -> bool:
        copies = [max(self.lab.copies(unit, name).values(), key=lambda one: one.generation) for name in PLACES]
        return all(copy.evidence in ("listed", "rehashed", "restored") for copy in copies)

    def _ledgers(self, name: str) -> dict[Unit, Any]:
        return {unit: self.lab.copies(unit, name) for unit in self.lab.units}

    @staticmethod
    def _evidence(ledgers: dict[Unit, Any]) -> list[object]:
        return [
            (unit, generation, copy.evidence, copy.fault)
            for unit, copies in ledgers.items()
            for generation, copy in copies.items()
        ]

    def _sealed(self, unit: Unit) -> None:
        self.lab.make(unit)

    def _tree(self, unit: Unit) -> bool:
        return any((self.lab.paths.subject(unit.code) / "vid" / unit.session).rglob("*.avi"))

    def _config(self, **changes: object) -> Any:
        return check(
            {**self.lab.config.values, **{name: value for name, value in changes.items() if value is not None}}
        )

    def _root(self, name: str) -> Path:
        return self.folder / (f"{name} away" if name in self.away else name)

    def _path(self, name: str, key: str) -> Path:
        return self._root(name) / key


def _quiet(line: str) -> None:
    pass


@pytest.mark.timeout(3000)
class TestHistories(Histories.TestCase):  # type: ignore[misc]
    settings = settings(
        max_examples=HISTORIES,
        stateful_step_count=14,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
