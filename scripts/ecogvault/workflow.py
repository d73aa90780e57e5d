"""What the Snakefile asks for: the plan of a run as lists of files. The library itself never imports Snakemake."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ecogvault import closing, edf, evidence, gate, intake, layout, registry, review
from ecogvault.config import Config, ConfigError, check
from ecogvault.errors import Damaged, EcogvaultError, safe_traceback
from ecogvault.estate import restore as estate
from ecogvault.estate.journal import Adopted
from ecogvault.files import lock, sweep_tree
from ecogvault.intake import SubjectPlan
from ecogvault.intake.assignment import read_units
from ecogvault.intake.slip import read_names
from ecogvault.ledger import copies
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.phi import Verdict, read_verdict, shown
from ecogvault.private import Private, open_private
from ecogvault.records import read_record
from ecogvault.registry_copy import digest as registry_digest
from ecogvault.restore import asked
from ecogvault.verify import chosen_units

# What is held until the process ends; the system lets go of it even after `kill -9`.
_RUN = ExitStack()
_SHORT = 10  # units that fall short and are named


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
        return review.redaction_digest(self._registered, Unit(code, int(number), kind))

    @cached_property
    def from_vault(self) -> bool:
        """Whether what is to be restored is in a vault, where it has to be asked for first."""
        destination = self.config.destinations.get(str(self.config["from"]))
        return destination is not None and destination.type == "glacier" and self.restore_problem is None

    @cached_property
    def restores(self) -> list[str]:
        """The records of the restores that `--config unit= subject= kind= file= date= from=` ask for.

        When they cannot be done it is said why, and the answer is a file that is never made, as for a stopped subject:
        an error raised while Snakemake asks would be shown with a traceback.
        """
        try:
            if self.old_copies:
                return [str(estate.record_path(self.paths, one)) for one in self.old_copies]
            found = asked.wanted(self.config)
        except EcogvaultError as error:
            _say(f"restore: {error}")
            return [str(self.paths.restored / "asked.never")]
        for one in found:
            if one.why:
                _say(f"restore: {one.path or one.unit} {one.why}")
        return [str(self.paths.restored_record(one.destination, one.unit, one.path)) for one in found]

    @cached_property
    def old_copies(self) -> list[Adopted]:
        """What the lab made before and is asked for, where no copy of this program's own is: see estate."""
        name = self.config["from"]
        if name not in self.config.destinations or not (self.config["unit"] or self.config["subject"]):
            return []
        return [] if chosen_units(self.config, name) else estate.asked(self.config, name)

    @property
    def restore_problem(self) -> str | None:
        """Why the restores that were asked for cannot be done, or None."""
        try:
            if self.old_copies:
                return None
            asked.wanted(self.config)
        except EcogvaultError as error:
            return str(error)
        return None

    @property
    def asked_path(self) -> str | None:
        """The one file that is to be restored, by its path in the manifest of its unit."""
        return asked.named_file(str(self.config["file"]))[1] if self.config["file"] else None

    @cached_property
    def _policy(self) -> str:
        return edf.read_policy(self.config["policy"]).digest

    def policy(self, code: str, number: str, kind: str) -> str:
        """What the policy of recordings' headers says, as a digest: another one de-identifies them again.

        A recording whose raw file is gone keeps the one that it was made by: the job would fail, and leave nothing.
        """
        unit = Unit(code, int(number), kind)
        try:
            made_by = str(read_record(self.paths.record(unit))["policy"]["digest"])
        except (FileNotFoundError, Damaged):
            return self._policy
        return self._policy if made_by == self._policy or self._has_raw(unit) else made_by

    def _has_raw(self, unit: Unit) -> bool:
        folders = {part.part: part.path for part in registry.parts(self._registered, unit.code)}
        return all((folders[name.part] / name.raw).is_file() for name in read_names(self.paths, unit))

    @property
    def outdated(self) -> list[Unit]:
        """Recordings that another policy made, and that cannot be made anew, since their raw files are gone."""
        recordings = [unit for unit in self.units if unit.kind in RECORDING_KINDS]
        return [one for one in recordings if self.policy(one.code, str(one.number), one.kind) != self._policy]

    @property
    def unnumbered(self) -> dict[str, str]:
        """For each open subject, what of its export has no number yet or why it is stopped; empty where nothing."""
        return {one.code: _unnumbered(one) for one in self.subjects}

    @property
    def _registered(self) -> Private:
        if self.private is None:
            raise ConfigError("nobody is registered yet: begin with `ecogvault register`")
        return self.private


def plan(values: Mapping[str, Any], *, main_process: bool) -> Plan:
    """The plan of a run. The main process checks the configuration and looks at the raw folders; jobs do neither.

    Raises EcogvaultError. Writes nothing.
    """
    if not main_process:
        config = Config(values)
        private = open_private(config) if config.private.is_dir() else None
        return Plan(config, private, tuple(intake.recorded(config, private)) if private else ())
    config = check(values)
    layout.check(config)
    policy = edf.read_policy(config["policy"], check=True)
    if config.shifts_dates:
        policy.require_shifts()
    if not config.private.exists():
        announce(Plan(config, None, ()))
        return Plan(config, None, ())
    private = open_private(config)
    made = Plan(config, private, tuple(intake.look(config, private)))
    announce(made)
    if made.units or made.registry_records:
        from ecogvault import keys

        if made.units:
            keys.recipients(config)
        if made.registry_records:
            keys.registry_recipients(config)
    return made


def announce(made: Plan) -> None:
    """Tell the person on stderr what the plan leaves out and why, and whether the folder is locked."""
    advice = closing.lock_advice()
    if advice is not None:
        _say(advice)
    for subject in made.subjects:
        if subject.problem:
            _say(f"{subject.code} is stopped: {subject.problem}")
    for line in _waiting(made):
        _say(f"waiting: {line}")
    if made.private is None:
        _say("nobody is registered yet: begin with `ecogvault register`")


@contextmanager
def explained(kind: type[Exception]) -> Iterator[None]:
    """Turn our errors into `kind`, which the caller shows as a line and not as a traceback.

    A foreign error may hold a raw path in its text: only its class and place are said.
    """
    try:
        yield
    except EcogvaultError as error:
        raise kind(str(error)) from None
    except OSError as error:
        raise kind(f"a file cannot be read or written: {error.strerror}\n{safe_traceback(error)}") from None
    except Exception as error:
        raise kind(f"a fault in ecogvault itself:\n{safe_traceback(error)}") from None


def freeze(made: Plan, kind: type[Exception]) -> None:
    """Before the first job: write what the run was planned with, and hold the run's lock to its end. Raises `kind`."""
    _RUN.enter_context(lock(closing.RUN_LOCK, what="this folder"))
    if made.private is not None:
        sweep_tree(made.config.private)
        with explained(kind):
            intake.freeze(made.config, made.private, made.subjects)


def close(made: Plan, *, succeeded: bool) -> None:
    """After the last job: what was done, what failed and why, what waits, and the next command."""
    wanted = made.receipts
    for line in closing.summary(
        there=sum(Path(receipt).exists() for receipt in wanted),
        wanted=len(wanted),
        failed=closing.failures(made.began),
        waiting=[*_waiting(made), *_to_review(made), *([] if succeeded else _registry_waits(made))],
        named=_named(made),
        succeeded=succeeded,
        command=closing.own_command(),
    ):
        _say(line)
    for line in _short(made):
        _say(line)


def _unnumbered(subject: SubjectPlan) -> str:
    if subject.problem:
        return subject.problem
    left = [f"{subject.waiting} items wait to be accepted"] if subject.waiting else []
    left += [f"{len(subject.left)} items have no number and are archived nowhere"] if subject.left else []
    return f"{' and '.join(left)}: ecogvault order {subject.code}" if left else ""


def _short(made: Plan) -> list[str]:
    """The units that have fewer proven copies than the lab's policy asks for."""
    found = evidence.shortfalls(made.config, list(made.units))
    more = [f"copies: and {len(found) - _SHORT} more units fall short"] if len(found) > _SHORT else []
    return [f"copies: {one}" for one in found[:_SHORT]] + more


def _named(made: Plan) -> list[str]:
    """The units in which a name was found: their copies may have been made before the name was known."""
    return [f"{verdict.unit} ({verdict.outcome}), in {shown(verdict)}" for verdict in _standing(made) if verdict.count]


def _to_review(made: Plan) -> list[str]:
    """What is said of annotations that wait for somebody to look at them, one line a subject."""
    found: dict[str, list[Verdict]] = {}
    for verdict in _standing(made):
        if verdict.annotations:
            found.setdefault(verdict.unit.code, []).append(verdict)
    return [
        f"free text in the annotations of {len(some)} recording(s) of {code}: ecogvault review {code}"
        for code, some in found.items()
    ]


def _standing(made: Plan) -> Iterator[Verdict]:
    """The verdict on each unit, without what was waived or accepted since."""
    if made.private is None:
        return
    for unit in made.units:
        try:
            yield gate.standing(made.private, read_verdict(made.paths.verdict(unit)))
        except (FileNotFoundError, Damaged):
            continue  # not scanned yet; a damaged verdict fails the job that needs it


def _registry_waits(made: Plan) -> list[str]:
    """What is said of the registry's copies that a failed run did not come to: they need every unit's manifest."""
    return [
        f"the registry's own copy to {Path(record).name.partition('.')[0]}: it goes last, when every unit is there"
        for record in made.registry_records
        if not Path(record).exists()
    ]


def _waiting(made: Plan) -> list[str]:
    found = []
    outdated = made.outdated
    for subject in made.subjects:
        if subject.waiting:
            found.append(f"{subject.waiting} new items of {subject.code}: ecogvault order {subject.code} --accept")
        if subject.outdated:
            found.append(
                f"{len(subject.outdated)} units of {subject.code} keep the dates and names that they were made with: "
                "their raw files are not there"
            )
        kept = sum(unit.code == subject.code for unit in outdated)
        if kept:
            found.append(
                f"{kept} recordings of {subject.code} keep the policy that they were made by: "
                "their raw files are not there"
            )
        if subject.left:
            found.append(f"{len(subject.left)} items of {subject.code} get no number: ecogvault order {subject.code}")
    return found


def _say(text: str) -> None:
    print(f"ecogvault: {text}", file=sys.stderr)
