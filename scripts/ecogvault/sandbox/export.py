"""A made-up hospital export: what an epilepsy-monitoring unit hands to the lab, small, and the same for the same seed.

One flat folder holds two patients to be registered and a stranger, three sessions each: `Last~ First_{guid}.edf`,
session folders of the same stem, and the SNC and VTC texts in `SNC/` and `VTC/`. Every person is plainly invented.
"""

import os
import random
import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import yaml

from ecogvault.errors import EcogvaultError
from ecogvault.files import replacing
from ecogvault.person import Person, fold
from ecogvault.sandbox import made_edf, made_natus
from ecogvault.sandbox.made_avi import avi_bytes

TIMEZONE = ZoneInfo("America/Los_Angeles")
FOLDER_MODE = 0o750
FILE_MODE = 0o640
CLIPS = 3
TECHNICIAN = "Wobblethorpe_Ottilie"

HARD_NAME = Person("O'Zzyx-Fährlund", "Quillé Amaranth", (), "90417733", "1987-04-09")
# Born on the date in the header of pyedflib's packaged recording, which becomes this patient's first session.
PLAIN_NAME = Person("Blorptwill", "Jexamine", ("Quorvley",), "90418852", "1969-06-30")
STRANGER = Person("Snorvaxen", "Mibbet", (), "90419961", "1992-11-23")

SHORT_NAME = Person("Qi", "Zo", (), "90420077", "2001-02-03")
PARTICLE_NAME = Person("van der Zwoop", "Ylfi", (), "90421188", "1979-12-31")
EXTRA_PATIENTS = (SHORT_NAME, PARTICLE_NAME)

# Local starts of a patient's first session, and what follows: the night to 2024-03-10 is the change to summer time.
_FIRST_STARTS = (datetime(2024, 3, 8, 21, 14, 7), datetime(2011, 4, 4, 12, 57, 2), datetime(2024, 3, 7, 9, 30, 41))
_SESSION_EVERY = timedelta(hours=15, minutes=29, seconds=13)

PACKAGED = "pyedflib's test_generator.edf"


class ExportExists(EcogvaultError):
    """The folder of a new export is not empty."""


@dataclass(frozen=True)
class Session:
    """One session as it was made. `start` is exact, in UTC. What was left out is None. The repr shows no name."""

    person: Person
    start: datetime
    stem: str = field(repr=False)
    edf: Path | None = field(repr=False)
    folder: Path | None = field(repr=False)
    snc: Path | None = field(repr=False)
    vtc: Path | None = field(repr=False)


@dataclass(frozen=True)
class Export:
    """What make_export made: the patients to register, the stranger, and everybody's sessions by start time."""

    folder: Path
    patients: tuple[Person, ...]
    stranger: Person | None
    sessions: tuple[Session, ...]

    def of(self, person: Person) -> list[Session]:
        """This person's sessions by start time."""
        return [session for session in self.sessions if session.person == person]


@dataclass(frozen=True)
class _Plan:
    """One session to be made: the person's place, the session's place in time, and what it goes without."""

    person: Person
    place: int
    number: int
    start: datetime
    milliseconds: int
    guid: str
    without: Literal["nothing", "edf", "folder"]
    packaged: bool


def _plans(people: Sequence[Person], sessions: int, generator: random.Random) -> Iterator[_Plan]:
    for place, person in enumerate(people):
        guids = sorted(str(uuid.UUID(int=generator.getrandbits(128), version=4)) for _ in range(sessions))
        first = _FIRST_STARTS[place] if place < len(_FIRST_STARTS) else datetime(2023, 6, 1 + place, 8, 5, 30)
        for number in range(1, sessions + 1):
            packaged = place == 1 and number == 1
            local = (first + (number - 1) * _SESSION_EVERY).replace(tzinfo=TIMEZONE)
            without: Literal["nothing", "edf", "folder"] = "nothing"
            if place == 0 and number == 2:
                without = "edf"
            if place == 1 and number == 3:
                without = "folder"
            yield _Plan(
                person,
                place,
                number,
                local.astimezone(UTC),
                0 if packaged or number % 2 == 0 else generator.randrange(100, 999),
                guids[number % sessions],  # rotated: the order by name is never the order by time
                without,
                packaged,
            )


def _recording_name(person: Person) -> str:
    """The name in an EDF+ patient field: no blanks (EDF+, section 2.1.3.3)."""
    return f"{person.surname}, {person.given}".replace(" ", "_")


def _patient_field(plan: _Plan, *, accents: bool) -> str:
    born = made_edf.edf_date(datetime.fromisoformat(plan.person.birth_date))
    name = _recording_name(plan.person)
    if not accents:
        name = "".join(
            letter for letter in unicodedata.normalize("NFKD", name) if letter.isascii() and letter.isprintable()
        )
    return f"{plan.person.mrn} {'FM'[plan.place % 2]} {born} {name}"


def _edf(
    plan: _Plan,
    generator: random.Random,
    *,
    seconds: int,
    accents: bool,
    name_in_annotations: bool,
    free_texts: Sequence[str],
) -> bytes:
    if plan.packaged:
        packaged = packaged_recording().read_bytes()
        return packaged[:8] + made_edf.patient_field(_patient_field(plan, accents=accents)) + packaged[88:]
    local = plan.start.astimezone(TIMEZONE)
    annotations = [(5, "Eyes closed"), (seconds // 2, "Stim on LFG1-LFG2"), (seconds - 2, "Seizure?")]
    if name_in_annotations:
        annotations.append((7, f"{fold(plan.person.surname)} asks for water"))
    if plan.place == 0 and plan.number == 1:
        annotations += [(8 + second, text) for second, text in enumerate(free_texts)]
    return made_edf.edf_bytes(
        generator,
        local_start=local,
        milliseconds=plan.milliseconds,
        seconds=seconds,
        patient=_patient_field(plan, accents=accents),
        recording=f"Startdate {made_edf.edf_date(local)} EMU-{7781 + plan.number} {TECHNICIAN} Natus_XLTEK",
        annotations=annotations,
    )


def packaged_recording() -> Path:
    """The EDF+ file that pyedflib ships."""
    import pyedflib

    return Path(pyedflib.__file__).parent / "data" / "test_generator.edf"


class _Writer:
    """Writes files with fixed modes and times, so that an export is the same however and whenever it is made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._times: dict[Path, float] = {}

    def folder(self, path: Path, moment: datetime) -> Path:
        path.mkdir(exist_ok=True)
        path.chmod(FOLDER_MODE)
        self._times[path] = moment.timestamp()
        return path

    def file(self, path: Path, data: bytes, moment: datetime) -> Path:
        with open(path, "xb") as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), FILE_MODE)
        os.utime(path, (moment.timestamp(), moment.timestamp()))
        return path

    def finish(self) -> None:
        """Set the folders' times, which every file written into them has changed."""
        for path, moment in sorted(self._times.items(), reverse=True):
            os.utime(path, (moment, moment))


def make_export(
    folder: Path,
    *,
    seed: int = 1,
    sessions: int = 3,
    seconds: int = 120,
    clip_frames: int = 10,
    vendor_bytes: int = 60_000,
    extra_patients: Sequence[Person] = (),
    stranger: bool = True,
    lower_folders: bool = False,
    nfd: bool = False,
    accents_in_headers: bool = False,
    name_in_annotations: bool = False,
    free_texts: Sequence[str] = (),
) -> Export:
    """Write an export into `folder` (new or empty) and say what it holds.

    `sessions` is per person (at least 2, else no order can differ), `seconds` the length of a recording, `clip_frames`
    the pictures of one of a session's three AVI files (9.3 kB each), `vendor_bytes` the size of an .erd file. With
    `lower_folders` every session folder's name is in lower case (else every third one's), with `nfd` file names are
    decomposed, as a Mac writes them. With `accents_in_headers` EDF patient fields hold the accents in Latin-1, as some
    hospital software writes them against the EDF specification (section 2.1.3.1), and EDFlib refuses the file; else
    they are left out. `name_in_annotations` puts the surname into the EDF annotations, and
    `free_texts` are further annotations of the first patient's first recording, one a second from the eighth on.
    Raises ExportExists, and OSError as it comes.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExportExists("the folder for the export is not empty: give a new or an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    patients = (HARD_NAME, PLAIN_NAME, *extra_patients)
    people = (HARD_NAME, PLAIN_NAME, STRANGER, *extra_patients)
    writer = _Writer(folder)
    plans = [plan for plan in _plans(people, sessions, generator) if plan.person is not STRANGER or stranger]
    last = max(plan.start for plan in plans) + timedelta(days=1)
    for path in (folder, folder / "SNC", folder / "VTC"):
        writer.folder(path, last)
    form: Literal["NFC", "NFD"] = "NFD" if nfd else "NFC"
    made: list[Session] = []
    for plan in plans:
        stem = unicodedata.normalize(form, f"{plan.person.surname}~ {plan.person.given}_{plan.guid}")
        own = random.Random(f"{seed} {plan.place} {plan.number}")
        written = plan.start + timedelta(seconds=seconds + 60)
        exact = plan.start + timedelta(milliseconds=plan.milliseconds)
        edf = session_folder = snc = vtc = None
        if plan.without != "edf":
            content = _edf(
                plan,
                own,
                seconds=seconds,
                accents=accents_in_headers,
                name_in_annotations=name_in_annotations,
                free_texts=free_texts,
            )
            edf = writer.file(folder / f"{stem}.edf", content, written)
        if plan.without != "folder":
            name = stem.lower() if lower_folders or plan.number % 3 == 0 else stem
            session_folder = writer.folder(folder / name, written)
            clips = [
                (f"{stem}_{clip:04d}.avi", exact + timedelta(seconds=clip_frames / 5 * (clip - 1)))
                for clip in range(1, CLIPS + 1)
            ]
            tables = _tables(plan, stem, own, exact, clips, seconds=seconds, clip_seconds=clip_frames / 5)
            _fill(
                writer, session_folder, stem, plan, own, written, tables, frames=clip_frames, vendor_bytes=vendor_bytes
            )
            rows = {"rows": seconds // 10, "samples_per_second": made_edf.SAMPLES_PER_SECOND}
            # Nobody went to the hospital's Windows computer for one session, and not for all of another.
            if (plan.place, plan.number) != (1, 2):
                text = made_natus.snc_text(stem, exact, **rows)
                snc = writer.file(folder / "SNC" / f"{stem}.txt", text.encode(), written)
            if (plan.place, plan.number) not in ((0, 3), (1, 2)):
                vtc = writer.file(folder / "VTC" / f"{stem}.txt", made_natus.vtc_text(stem, clips).encode(), written)
        made.append(Session(plan.person, exact, stem, edf, session_folder, snc, vtc))
    writer.finish()
    made.sort(key=lambda session: session.start)
    return Export(folder, patients, STRANGER if stranger else None, tuple(made))


def _tables(
    plan: _Plan,
    stem: str,
    generator: random.Random,
    exact: datetime,
    clips: Sequence[tuple[str, datetime]],
    *,
    seconds: int,
    clip_seconds: float,
) -> dict[str, bytes]:
    """The session folder's own tables, by extension: the clock, the segments of data, the videos."""
    rate = made_edf.SAMPLES_PER_SECOND
    segments = [stem, *(f"{stem}_{part:03d}" for part in range(1, plan.number + 1))]
    samples = seconds * rate // len(segments)
    return {
        "snc": made_natus.snc_bytes(plan.person, exact, generator, rows=seconds // 10, samples_per_second=rate),
        "stc": made_natus.stc_bytes(plan.person, exact, generator, segments, samples),
        "vtc": made_natus.vtc_bytes(clips, clip_seconds),
    }


def _fill(
    writer: _Writer,
    folder: Path,
    stem: str,
    plan: _Plan,
    generator: random.Random,
    written: datetime,
    tables: Mapping[str, bytes],
    *,
    frames: int,
    vendor_bytes: int,
) -> None:
    """The files of one session folder; `tables` are those that are real."""

    def natus(extension: str) -> bytes:
        size = vendor_bytes if extension == "erd" else max(256, vendor_bytes // 20)
        return made_natus.file_bytes(extension, plan.person, plan.start, generator, size=size)

    for extension in made_natus.EXTENSIONS:
        writer.file(folder / f"{stem}.{extension}", tables.get(extension) or natus(extension), written)
    for extension in made_natus.CONTINUED:
        for part in range(1, plan.number + 1):
            writer.file(folder / f"{stem}_{part:03d}.{extension}", natus(extension), written)
    writer.file(folder / f"{stem}.doc", made_natus.doc_bytes(plan.person, generator), written)
    for clip in range(1, CLIPS + 1):
        writer.file(folder / f"{stem}_{clip:04d}.avi", avi_bytes(generator, frames=frames), written)


def write_person_files(folder: Path, people: Sequence[Person] = (HARD_NAME, PLAIN_NAME)) -> list[Path]:
    """One 0600 YAML file per person for `ecogvault register --person FILE`: `person1.yaml`, `person2.yaml`, ...

    Keys: surname, given, other_names (a list), mrn, birth_date. Existing files are replaced.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = []
    for number, person in enumerate(people, start=1):
        known = {
            "surname": person.surname,
            "given": person.given,
            "other_names": list(person.other_names),
            "mrn": person.mrn,
            "birth_date": person.birth_date,
        }
        path = folder / f"person{number}.yaml"
        with replacing(path, mode=0o600) as stream:
            stream.write(yaml.safe_dump(known, allow_unicode=True, sort_keys=False).encode())
        paths.append(path)
    return paths
