"""What the targets of the Snakefile ask for: the plan of a run as lists of files."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ecogvault import closing, gate, kept, review
from ecogvault.config import Config, ConfigError
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.estate import restore as estate
from ecogvault.estate.journal import Adopted
from ecogvault.intake import SubjectPlan
from ecogvault.intake.assignment import read_units
from ecogvault.ledger import NothingThere, copies
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.registry_copy import digest as registry_digest
from ecogvault.restore import again, asked
from ecogvault.restore.choose import is_cold
from ecogvault.verify import chosen_units


@dataclass(frozen=True)
class Plan:
    """One run: the subjects' units, and the names of all files that its targets ask for."""

    config: Config
    private: Private | None
    subjects: tuple[SubjectPlan, ...]
    began: float = field(default_factory=time.time)

    @cached_property
    def paths(self) -> Paths:
        """Where everything is."""
        return Paths.of(self.config)

    @property
    def results(self) -> str:
        """The folder of everything that is named by code."""
        return str(self.paths.results)

    @property
    def sealed(self) -> str:
        """The folder in which sealed tarballs wait."""
        return str(self.paths.sealed_root)

    @property
    def restored(self) -> str:
        """The folder of restores."""
        return str(self.paths.restored)

    @property
    def recipients(self) -> str:
        """The file of recipients."""
        return str(self.config["recipients"])

    @property
    def again(self) -> str:
        """The command of this run, for actions that wait for something: the exact one to type again."""
        return closing.own_command()

    @cached_property
    def units(self) -> dict[Unit, str]:
        """Each unit of every open subject that is not stopped, with its fingerprint."""
        return {unit: value for plan in self.subjects for unit, value in sorted(plan.units.items())}

    @property
    def slips(self) -> list[str]:
        """Every unit's order slip by its current name."""
        return [str(self.paths.slip(unit, fingerprint)) for unit, fingerprint in self.units.items()]

    @property
    def receipts(self) -> list[str]:
        """Every unit's receipt from every destination that takes its kind."""
        return [receipt for name in self.config.destinations for receipt in self.receipts_from(name)]

    @property
    def manifests(self) -> list[str]:
        """Every unit's manifest. A target itself: Snakemake takes one that a failed job has removed for not needed."""
        return [str(self.paths.manifest(unit)) for unit in self.units]

    @property
    def verdicts(self) -> list[str]:
        """Every unit's verdict."""
        return [str(self.paths.verdict(unit)) for unit in self.units]

    @property
    def tarballs(self) -> list[str]:
        """Every unit's sealed tarball."""
        return [str(self.paths.sealed(unit)) for unit in self.units]

    @property
    def refusals(self) -> list[str]:
        """A file for each stopped subject that is never made: its rule says why."""
        return [str(self.paths.slips(plan.code) / "accepted.never") for plan in self.subjects if plan.problem]

    @cached_property
    def registry_records(self) -> list[str]:
        """The record of the registry's own copy, from every destination that takes it."""
        takers = registry_digest.destinations(self.config)
        if self.private is None or not takers:
            return []
        digest = registry_digest.digest(self.config, self.private, self.subjects)
        return [str(registry_digest.record_path(self.paths, one.name, digest)) for one in takers]

    @property
    def registry_recipients(self) -> str:
        """The file of recipients of the registry's own copy."""
        return str(self.config["registry_recipients"])

    def receipts_from(self, destination: str) -> list[str]:
        """Every unit's receipt from one destination."""
        takes = self.config.destinations[destination].takes
        return [str(self.paths.receipt(destination, unit)) for unit in self.units if takes(unit.kind)]

    def problem(self, code: str) -> str:
        """Why a subject is stopped."""
        return next((plan.problem for plan in self.subjects if plan.code == code and plan.problem), "it is not stopped")

    def slip(self, code: str, number: str, kind: str) -> str:
        """A unit's order slip by its current name."""
        unit = Unit(code, int(number), kind)
        if unit not in self.units:
            raise ConfigError(f"{unit} is no unit of an open subject: `ecogvault order {code}` shows what there is")
        return str(self.paths.slip(unit, self.units[unit]))

    def sealed_statement(self, destination: str, code: str, number: str, kind: str) -> list[str]:
        """The statement of what was sealed, for a destination of form `tarball`; nothing for another."""
        tarball = self.config.destinations[destination].form == "tarball"
        return [str(self.paths.statement(Unit(code, int(number), kind)))] if tarball else []

    @property
    def unsent_tarballs(self) -> list[str]:
        """The sealed tarball of every unit that a destination is still to get as one.

        Uploads take the statement as input, which stays when a tarball is pruned: so one destination that needs a
        pruned tarball has it sealed again, and the others are left alone.
        """
        wanted = {
            unit
            for name, destination in self.config.destinations.items()
            for unit in self.units
            if destination.form == "tarball" and destination.takes(unit.kind) and not self._holds(name, unit)
        }
        return [str(self.paths.sealed(unit)) for unit in sorted(wanted)]

    def _holds(self, destination: str, unit: Unit) -> bool:
        """Whether a destination is known to hold the unit's newest content: by its receipt, or by the ledger."""
        if self.paths.receipt(destination, unit).exists():
            return True
        state = read_units(self.paths, unit.code).get(unit)
        try:
            copy = copies(self.paths.ledger(destination, unit)).get(state.generation) if state else None
        except Damaged:
            return False  # the upload says which line
        return bool(state and copy and copy.evidence and copy.manifest_sha256 == state.manifest_sha256)

    def identifiers(self, code: str) -> str:
        """The keyed hash of what is looked for in a subject's units: a new name scans them again."""
        return gate.identifiers(self._registered, code)

    def scans_contents(self, kind: str) -> bool:
        """Whether units of `kind` leave the building plain anywhere."""
        return gate.scans_contents(self.config, kind)

    def phrases(self, kind: str) -> str:
        """What changes with the lab's own phrases, for units whose annotations are compared with them."""
        return review.digest(self.config) if kind in RECORDING_KINDS and self.scans_contents(kind) else ""

    def redactions(self, code: str, number: str, kind: str) -> str:
        """What changes with the redactions in one recording: then it is de-identified again, and no other unit."""
        return kept.asked_for(self.config, self._registered, Unit(code, int(number), kind)).redactions

    @cached_property
    def asks_first(self) -> bool:
        """Whether what is to be restored cannot be read at once: it has to be asked for, over several runs.

        `tier` says so of a place whose settings do not: its objects may have been archived by a lifecycle rule.
        """
        destination = self.config.destinations.get(str(self.config["from"]))
        if destination is None or not (is_cold(destination) or self.config["tier"] is not None):
            return False
        try:
            return bool(self.old_copies or self._asked())
        except EcogvaultError:
            return False  # it is said why, as of any other place

    @cached_property
    def restores(self) -> list[str]:
        """The records of the restores that `--config unit= subject= kind= file= date= from=` ask for.

        Where one is there, and what came back is not as it came any more, it is another file, which no run leaves.
        When they cannot be done it is said why, and the answer is a file that is never made, as for a stopped subject:
        an error raised while Snakemake asks would be shown with a traceback.
        """
        try:
            if self.old_copies:
                return [str(estate.record_path(self.paths, one)) for one in self.old_copies]
            found, lacking, beside = self._asked()
        except EcogvaultError as error:
            closing.say(f"restore: {error}")
            return [str(self.paths.restored / "asked.never")]
        for line in lacking:
            closing.say(f"restore: {line}")
        for one in found:
            if one.why:
                closing.say(f"restore: {one.path or one.unit} {one.why}")
        for line in beside:
            closing.say(f"restore: {line}")
        records = [_due(self.paths.restored_record(one.destination, one.unit, one.path)) for one in found]
        return list(map(str, records)) + ([str(self.paths.restored / "asked.never")] if lacking else [])

    @cached_property
    def old_copies(self) -> list[Adopted]:
        """What the lab made before and is asked for, where no copy of this program's own is: see estate."""
        return estate.old_asked(self.config, self.config["from"])

    @property
    def restore_problem(self) -> str | None:
        """Why the restores that were asked for cannot be done, or not all of them, or None."""
        try:
            lacking = [] if self.old_copies else self._asked()[1]
        except EcogvaultError as error:
            return str(error)
        return "; ".join(lacking) or None

    def _asked(self) -> tuple[list[asked.Wanted], list[str], list[str]]:
        """What is to be restored of this program's own copies, why some of it cannot, and what is said of copies that
        the lab made before. Raises EcogvaultError, with that behind it.
        """
        try:
            beside = adopted_beside(self.config)
        except Damaged as error:
            beside = [str(error)]  # it does not stand in the way of other copies
        try:
            return *asked.wanted(self.config), beside
        except NothingThere as error:
            raise NothingThere("; ".join([str(error), *beside])) from None

    @property
    def asked_path(self) -> str | None:
        """The one file that is to be restored, by its path in the manifest of its unit."""
        return asked.named_file(str(self.config["file"]))[1] if self.config["file"] else None

    def policy(self, code: str, number: str, kind: str) -> str:
        """What the policy of recordings' headers says, as a digest: another one de-identifies them again (see kept)."""
        return kept.asked_for(self.config, self._registered, Unit(code, int(number), kind)).policy

    def format(self, code: str, number: str, kind: str, today: int) -> int:
        """The format of a recording's rule, or the one that it keeps (see kept)."""
        return kept.asked_for(self.config, self._registered, Unit(code, int(number), kind), today).format

    @property
    def outdated(self) -> list[Unit]:
        """Recordings of another policy or other redactions, that cannot be made anew since their raw files are gone."""
        recordings = [unit for unit in self.units if unit.kind in RECORDING_KINDS]
        return [one for one in recordings if kept.is_outdated(self.config, self._registered, one)]

    @property
    def unnumbered(self) -> dict[str, str]:
        """For each open subject, what of its export has no number yet or why it is stopped; empty where nothing."""
        return {one.code: _unnumbered(one) for one in self.subjects}

    @property
    def _registered(self) -> Private:
        if self.private is None:
            raise ConfigError("nobody is registered yet: begin with `ecogvault register`")
        return self.private


def adopted_beside(config: Config) -> list[str]:
    """What is said of copies that the lab made before and this restore does not take, one line a destination, with the
    command that brings them. Raises EcogvaultError.
    """
    found = []
    for name, old in estate.left_aside(config).items():
        unit = asked.named_unit(config)
        changes = {"from": name, "file": None, "date": None}
        if config["file"]:
            changes["unit"] = str(unit)
        if chosen_units(config, name):
            changes["adopted"] = "yes"
        command = closing.own_command(**changes)
        found.append(f"{len(old)} adopted copies of {unit or old[0].code} lie at {name}: `{command}` brings them")
    return found


def _due(record: Path) -> Path:
    """The file that a restore is to make: its record, or a mark that is named by the record's time."""
    if not record.exists() or again.is_as_it_came(record):
        return record
    return record.with_name(f"{record.stem}.{record.stat().st_mtime_ns}.again")


def _unnumbered(subject: SubjectPlan) -> str:
    if subject.problem:
        return subject.problem
    left = [f"{subject.waiting} items wait to be accepted"] if subject.waiting else []
    left += [f"{len(subject.left)} items have no number and are archived nowhere"] if subject.left else []
    return f"{' and '.join(left)}: ecogvault order {subject.code}" if left else ""
