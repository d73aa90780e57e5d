"""The gate: the scan of a unit, and who may act on its verdict. Source: DESIGN, section 6, "The gate"."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ecogvault import edf, layout, registry, review
from ecogvault.config import Config, Destination
from ecogvault.deidentify import ensure_tree
from ecogvault.edf.policy import BLANK
from ecogvault.manifest import Manifest
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.phi import (
    OWN_WORDS,
    Refused,
    Verdict,
    honoured,
    identifiers_hash,
    permits,
    read_verdict,
    read_waivers,
    require_current,
    scan_unit,
    with_annotations,
    write_verdict,
)
from ecogvault.place import Tree
from ecogvault.private import Private


def identifiers(private: Private, code: str) -> str:
    """The keyed hash of what is looked for in a subject's units; it changes when the person's identifiers do."""
    return identifiers_hash(private.key, registry.subject(private, code).person)


def scans_contents(config: Config, kind: str) -> bool:
    """Whether all bytes of units of `kind` are looked at: they leave the building plain somewhere."""
    return any(destination.leaves_plain_outside(kind) for destination in config.destinations.values())


def keys(config: Config, unit: Unit, generation: int, manifest: Manifest) -> list[str]:
    """Every object key that the unit has at any destination."""
    found = {layout.statement_key(unit, generation)}
    for destination in config.destinations.values():
        if not destination.takes(unit.kind):
            continue
        if destination.form == "tarball":
            found.add(layout.tarball_key(destination, unit, generation))
        else:
            found.add(layout.manifest_key(unit, generation))
            found |= {layout.file_key(destination, unit, generation, entry.path) for entry in manifest}
    return sorted(found)


def scan(
    config: Config,
    private: Private,
    unit: Unit,
    *,
    generation: int,
    manifest: Path,
    verdict: Path,
    contents: bool,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Scan a unit and write the verdict, whatever it is. Raises phi.Changed, FileChanged, BadPhrases, OSError."""
    listed = Manifest.read(manifest)
    ensure_tree(config, private, unit, listed)
    root = Paths.of(config).subject(unit.code)
    found = scan_unit(
        unit=unit,
        files=[(entry.path, root / entry.path) for entry in listed],
        keys=keys(config, unit, generation, listed),
        person=registry.subject(private, unit.code).person,
        everyone=registry.persons(private),
        contents=contents,
        manifest_sha256=listed.sha256,
        identifiers=identifiers(private, unit.code),
        key=private.key,
        own_words=OWN_WORDS | set(config.destinations),
        expected={entry.path: entry.sha256 for entry in listed},
        keeps_birth_date=_keeps_birth_date(config),
        progress=progress,
    )
    if contents:
        texts = _free_texts(config, private, unit, [root / entry.path for entry in listed])
        found = with_annotations(found, texts, review.digest(config))
    tree = Tree.of(config)
    write_verdict(verdict, found, mode=tree.file_mode, group=tree.gid)
    return found


def _keeps_birth_date(config: Config) -> bool:
    """Whether the lab's policy leaves the true birth date in the patient field of recordings, for whoever gets them."""
    return not config.shifts_dates and edf.read_policy(config["policy"])["patient.birthdate"].verb != BLANK


def _free_texts(config: Config, private: Private, unit: Unit, files: Sequence[Path]) -> list[str]:
    """The ids of free texts in the annotations of a unit's files. Only recordings have any."""
    if unit.kind not in RECORDING_KINDS:
        return []
    phrases, key = review.load(config), private.key
    texts = (one for path in files for one in review.waiting(path, key, phrases, str(unit)))
    return list(dict.fromkeys(texts))


def standing(private: Private, verdict: Verdict) -> Verdict:
    """A verdict as it stands today: without what a person has waived, and without the annotations that are accepted.

    Raises Damaged, and OSError as it comes.
    """
    waivers = read_waivers(private, verdict.unit.code)
    return honoured(review.read_decisions(private, verdict.unit.code).settle(verdict, waivers), waivers)


def require(
    config: Config, private: Private, unit: Unit, manifest: Manifest, verdict: Path, destination: Destination | None
) -> None:
    """Raise phi.Refused unless the unit may be sealed (no destination), or may go to `destination`, today.

    What a person has waived or accepted does not count. Raises Damaged and OSError as they come.
    """
    found = standing(private, read_verdict(verdict))
    require_current(found, manifest_sha256=manifest.sha256, identifiers=identifiers(private, unit.code))
    plain = destination is not None and destination.leaves_plain_outside(unit.kind)
    permits(found, leaves_plain_outside=plain)
    if plain and found.annotations is None:
        raise Refused(f"{unit}: its annotations were never looked at, and it would leave plain: scan it again")
    if plain and unit.kind in RECORDING_KINDS and found.phrases != review.digest(config):
        raise Refused(f"{unit}: the lab's phrases have changed since the scan, and it would leave plain: scan it again")
