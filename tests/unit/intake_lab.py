"""A registered person with an export in one raw folder, for tests of what becomes of it. All names made up."""

import random
import re
from datetime import UTC, datetime
from pathlib import Path

from edf_builder import recording

from ecogvault import intake, registry
from ecogvault.config import Config, check
from ecogvault.intake.assignment import read_sessions
from ecogvault.intake.plan import accept
from ecogvault.intake.slip import make_slip
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.person import Person
from ecogvault.private import Private, open_private
from ecogvault.registry import Subject, make_person
from ecogvault.sandbox.made_natus import header_bytes

PERSON = make_person("Quellmotz", "Mirx", mrn="00812")
OTHER = make_person("Trellwick", "Hask", mrn="77")
CREATED = datetime(2002, 3, 2, 20, 0, tzinfo=UTC)
NAME = re.compile("quell|mirx|00812|trellw|hask", re.IGNORECASE)


def edf_bytes(start: str = "17.05.11", patient: str = "00812 F X Quellmotz_Mirx") -> bytes:
    return recording(patient=patient, starttime=start)


class Lab:
    """A registered person with an export in one raw folder."""

    def __init__(self, folder: Path, **settings: object) -> None:
        nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(folder / "nas")}
        places = {"private": str(folder / "private"), "results": str(folder / "results")}
        self.config: Config = check({**places, "destinations": {"nas": nas}, **settings})
        self.private: Private = open_private(self.config, create=True)
        self.paths = Paths.of(self.config)
        self.raw = folder / "export of Quellmotz"
        self.raw.mkdir(exist_ok=True)
        self.code = registry.register(self.private, PERSON, self.raw, None, decide_match=lambda *_: registry.EVERYTHING)

    @property
    def subject(self) -> Subject:
        return registry.subject(self.private, self.code)

    def edf(self, name: str, start: str = "17.05.11", **more: str) -> Path:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(edf_bytes(start, **more))
        return path

    def session(self, name: str, created: datetime = CREATED, *, person: Person = PERSON, clips: int = 2) -> Path:
        folder = self.raw / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{folder.name}.eeg").write_bytes(header_bytes("eeg", person, created, random.Random(1)))
        for clip in range(clips):
            (folder / f"{folder.name}_{clip:04d}.avi").write_bytes(b"RIFF")
        return folder

    def look(self) -> intake.SubjectPlan:
        (plan,) = [plan for plan in intake.look(self.config, self.private) if plan.code == self.code]
        assert not (plan.problem and NAME.search(plan.problem))
        return plan

    def accept(self) -> None:
        accept(self.private, self.paths, self.code, intake.survey(self.config, self.private, self.subject).proposed)

    def unit(self, number: int, kind: str) -> Unit:
        return Unit(self.code, number, kind)

    def frozen(self) -> dict[Unit, str]:
        """Accept, plan and freeze; the fingerprints."""
        if not read_sessions(self.paths, self.code):
            self.accept()
        plan = self.look()
        intake.freeze(self.config, self.private, [plan])
        return dict(plan.units)

    def slip(self, unit: Unit, wanted: str) -> Path:
        self.paths.slips(self.code).mkdir(parents=True, exist_ok=True)
        make_slip(self.config, self.private, unit, wanted, mode=0o640, group=None)
        return self.paths.slip(unit, wanted)

    def id(self, path: Path) -> str:
        return self.private.private_id(str(path))
