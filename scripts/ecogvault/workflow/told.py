"""What a run says about its plan, at its start and at its end: what waits, what fell short, where a name was found."""

from collections.abc import Iterator
from pathlib import Path

from ecogvault import closing, evidence, gate
from ecogvault.config import one_place
from ecogvault.errors import Damaged
from ecogvault.estate.restore import SCHEMA as OLD_RESTORED
from ecogvault.phi import Verdict, read_verdict, shown
from ecogvault.records import read_record
from ecogvault.workflow.targets import Plan

_SHORT = 10  # units that fall short and are named


def announce(made: Plan) -> None:
    """Tell the person on stderr what the plan leaves out and why, and whether the folder is locked."""
    advice = closing.lock_advice()
    if advice is not None:
        closing.say(advice)
    for subject in made.subjects:
        if subject.problem:
            closing.say(f"{subject.code} is stopped: {subject.problem}")
    for line in one_place(made.config):
        closing.say(f"warning: {line}")
    for line in waiting(made):
        closing.say(f"waiting: {line}")
    if made.private is None:
        closing.say("nobody is registered yet: begin with `ecogvault register`")


def shortfalls(made: Plan) -> list[str]:
    """The units that have fewer proven copies than the lab's policy asks for."""
    found = evidence.shortfalls(made.config, list(made.units))
    more = [f"copies: and {len(found) - _SHORT} more units fall short"] if len(found) > _SHORT else []
    return [f"copies: {one}" for one in found[:_SHORT]] + more


def named(made: Plan) -> list[str]:
    """The units in which a name was found: their copies may have been made before the name was known."""
    return [f"{verdict.unit} ({verdict.outcome}), in {shown(verdict)}" for verdict in _standing(made) if verdict.count]


def to_review(made: Plan) -> list[str]:
    """What is said of annotations that wait for somebody to look at them, one line a subject."""
    found: dict[str, list[Verdict]] = {}
    for verdict in _standing(made):
        if verdict.annotations:
            found.setdefault(verdict.unit.code, []).append(verdict)
    return [
        f"free text in the annotations of {len(some)} recording(s) of {code}: ecogvault review {code}"
        for code, some in found.items()
    ]


def registry_waits(made: Plan) -> list[str]:
    """What is said of the registry's copies that a failed run did not come to: they need every unit's manifest."""
    return [
        f"the registry's own copy to {Path(record).name.partition('.')[0]}: it goes last, when every unit is there"
        for record in made.registry_records
        if not Path(record).exists()
    ]


def waiting(made: Plan) -> list[str]:
    """What of the subjects waits for somebody, or is left as it is, one line each."""
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
        old = sum(unit.code == subject.code for unit in outdated)
        if old:
            found.append(
                f"{old} recordings of {subject.code} keep the policy and the redactions that they were made by: "
                "their raw files are not there"
            )
        if subject.left:
            found.append(f"{len(subject.left)} items of {subject.code} get no number: ecogvault order {subject.code}")
    return found


def came_back(made: Plan) -> list[str]:
    """What has to be known of what this run has restored: which files a copy lacks, and where names may be."""
    found = []
    old = set()
    for path in sorted(made.paths.restored.glob("[!.]*/*.json")):
        if path.stat().st_mtime < made.began:
            continue
        try:
            record = read_record(path)
        except Damaged:
            continue  # the next restore makes it anew
        if record.get("schema") == OLD_RESTORED:
            old.add(str(Path(record["folder"]).parent))
        if record.get("older_versions"):
            found.append(
                f"restored from older versions: {record['unit']} from {record['destination']}, where "
                f"{'; '.join(record['older_versions'][:_SHORT])}: run `snakemake verify`, then `snakemake`"
            )
        if record.get("excluded") and record.get("path") is None:
            unit, count = record["unit"], len(record["excluded"])
            found.append(
                f"restored without {count} files: {unit} from {record['destination']}: they were left out there when "
                f"it was archived (exclude:); `excluded` in {path} lists them"
            )
    found += [f"what came out of old archives may hold names, in its paths, too: {folder}" for folder in sorted(old)]
    return found


def _standing(made: Plan) -> Iterator[Verdict]:
    """The verdict on each unit, without what was waived or accepted since."""
    if made.private is None:
        return
    for unit in made.units:
        try:
            yield gate.standing(made.private, read_verdict(made.paths.verdict(unit)))
        except (FileNotFoundError, Damaged):
            continue  # not scanned yet; a damaged verdict fails the job that needs it
