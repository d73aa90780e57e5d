"""Where everything is: the paths below `results/` and `private/`, each in one place.

All names below `results/` are codes. Source: DESIGN, sections 4 and 5.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ecogvault.config import Config
from ecogvault.naming import Unit


@dataclass(frozen=True)
class Paths:
    """The house's paths, from the configuration."""

    results: Path
    private: Path
    sealed_root: Path
    restored: Path

    @classmethod
    def of(cls, config: Config) -> "Paths":
        """The paths that `config` names."""
        return cls(
            config.results,
            config.private,
            Path(config["sealed"].get("path") or config.results),
            config.path("restored"),
        )

    # --- results -----------------------------------------------------------------------------------------------------

    def subject(self, code: str) -> Path:
        """What manifest paths are relative to."""
        return self.results / code

    def slips(self, code: str) -> Path:
        """Folder of a subject's order slips."""
        return self.subject(code) / "order"

    def slip(self, unit: Unit, fingerprint: str) -> Path:
        """The order slip of a unit whose raw files have `fingerprint`."""
        return self.slips(unit.code) / f"{unit}.{fingerprint}.json"

    def manifest(self, unit: Unit) -> Path:
        """The unit's manifest."""
        return self.subject(unit.code) / "manifest" / f"{unit}.tsv"

    def record(self, unit: Unit) -> Path:
        """What de-identification met and did, beside the manifest: fields and places, never their content."""
        return self.subject(unit.code) / "manifest" / f"{unit}.record.json"

    def verdict(self, unit: Unit) -> Path:
        """What the scan found."""
        return self.subject(unit.code) / "phi" / f"{unit}.json"

    def sealed(self, unit: Unit) -> Path:
        """The sealed tarball."""
        return self.sealed_root / unit.code / "sealed" / f"{unit}.tar.zst.age"

    def index(self, unit: Unit) -> Path:
        """The sealed tarball's index, readable here."""
        return self.sealed_root / unit.code / "sealed" / f"{unit}.index.json"

    def statement(self, unit: Unit) -> Path:
        """The sealed tarball's signed statement."""
        return self.sealed_root / unit.code / "sealed" / f"{unit}.statement.json"

    def receipt(self, destination: str, unit: Unit) -> Path:
        """The newest state of the unit's ledger there: the target of an upload."""
        return self.subject(unit.code) / "receipts" / destination / f"{unit}.json"

    def ledger(self, destination: str, unit: Unit) -> Path:
        """All that ever happened to the unit there."""
        return self.subject(unit.code) / "ledger" / destination / f"{unit}.jsonl"

    def transfer(self, destination: str, unit: Unit) -> Path:
        """State of a running or interrupted upload."""
        return self.subject(unit.code) / "transfer" / destination / f"{unit}.json"

    def retrieval(self, destination: str, unit: Unit) -> Path:
        """What was asked of a vault for a restore, and how far it is."""
        return self.subject(unit.code) / "vault" / destination / f"{unit}.retrieval.json"

    def old_retrieval(self, destination: str, code: str, digest: str) -> Path:
        """What was asked for so that an old copy can come back, by the digest of its name there."""
        return self.subject(code) / "vault" / destination / f"{code}.old.{digest}.json"

    def doubt(self, destination: str, unit: Unit) -> Path:
        """Since when it is not known whether a vault has a unit's archive."""
        return self.subject(unit.code) / "vault" / destination / f"{unit}.doubt.json"

    def inventory(self, destination: str) -> Path:
        """What a vault's newest inventory says; the table for people lies beside it as `.tsv`."""
        return self.results / "inventory" / f"{destination}.json"

    def inventory_job(self, destination: str) -> Path:
        """The inventory that a vault was asked for and has not given yet."""
        return self.results / "inventory" / f"{destination}.job.json"

    def vault_registry(self, destination: str) -> Path:
        """Folder of what is known of the registry's copies in a vault."""
        return self.results / "registry" / "vault" / destination

    def raw_inventories(self, destination: str) -> Path:
        """Folder of a vault's inventories as they came: descriptions that are not ours may hold names."""
        return self.private / "transfer" / "inventory" / destination

    def restored_record(self, destination: str, unit: Unit, path: str | None = None) -> Path:
        """What a restore of a unit, or of its one file `path`, found and proved; the files lie in the unit's folder."""
        one = f".{sha256(path.encode()).hexdigest()[:12]}" if path is not None else ""
        return self.restored / destination / f"{unit}{one}.json"

    # --- private -----------------------------------------------------------------------------------------------------

    def sessions(self, code: str) -> Path:
        """The accepted assignment: which raw items are which session."""
        return self.private / code / "sessions.tsv"

    def units(self, code: str) -> Path:
        """Fingerprint, generation and manifest digest of each unit."""
        return self.private / code / "units.tsv"

    def settings(self, code: str) -> Path:
        """What units were made with, where it is not the default: shifted dates, rewritten names in vendor files."""
        return self.private / code / "settings.tsv"

    def refreshed(self, code: str) -> Path:
        """Which sizes and times of raw files stand for which recorded fingerprint, though their times are new."""
        return self.private / code / "refreshed.tsv"

    def names(self, unit: Unit) -> Path:
        """Raw and coded names of the unit's files, and the undo record of every change."""
        return self.private / unit.code / "names" / f"{unit}.tsv"

    def transfer_secrets(self, destination: str, unit: Unit) -> Path:
        """Keys of a running transfer that encrypts on the way."""
        return self.private / "transfer" / destination / f"{unit}.json"
