"""A lab whose units went the whole way to folders, in this process, for what comes after. All names made up."""

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from intake_lab import Lab

from ecogvault import archive, gate, ledger, restore
from ecogvault.age import KeyPair, generate, write_identity_file
from ecogvault.config import Config, check
from ecogvault.deidentify import deidentify
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit

FORMS: dict[str, dict[str, Any]] = {
    "deep": {"form": "tarball"},
    "nas": {"form": "files", "registry": True},
    "crypt": {"form": "files", "encrypt": True},
}


class ArchiveLab(Lab):
    """Sessions 1 and 2 of one person; by default folders `deep` (tarballs), `nas`, `crypt` (files, encrypted ones).

    Each clip of theirs has `noise` bytes that cannot be compressed.
    """

    def __init__(self, folder: Path, forms: Mapping[str, dict[str, Any]] = FORMS, *, noise: int = 0) -> None:
        self.folder = folder
        self.forms = forms
        self.keys: dict[str, KeyPair] = {}
        for name in ("daily", "escrow", "later"):
            self.keys[name] = generate(classic=True)
            write_identity_file(folder / name, self.keys[name], None)
        self.list_recipients("daily", "escrow")
        destinations = {}
        for name, more in forms.items():
            if "type" not in more:
                (folder / name).mkdir()
                more = {"type": "folder", "path": str(folder / name), **more}
            destinations[name] = {"zone": "inside", **more}
        settings = {
            "recipients": str(folder / "recipients.txt"),
            "registry_recipients": str(folder / "recipients.txt"),
            "signers": str(folder / "signers.txt"),
            "age_identity": str(folder / "daily"),
            "restored": str(folder / "restored"),
        }
        super().__init__(folder, **settings, destinations=destinations)
        self.config_file = folder / "config.yaml"
        self.config_file.write_text(yaml.safe_dump(dict(self.config.values)))
        for number in (1, 2):
            session = self.session(f"Quellmotz~_x{number}", clips=0)
            for clip in (1, 2):
                (session / f"{session.name}_{clip:04d}.avi").write_bytes(
                    b"RIFF" + bytes([number, clip]) * 70_000 + random.Random(clip).randbytes(noise)
                )
        self.prints = self.frozen()
        self.units = sorted(self.prints)

    def list_recipients(self, *names: str) -> None:
        """Have recipients.txt list the keys of these names."""
        text = "".join(f"# {name}\n{self.keys[name].recipient()}\n" for name in names)
        (self.folder / "recipients.txt").write_text(text)

    def as_seen_by(self, key: str) -> Config:
        """The configuration of a machine that restores with this key."""
        return check({**self.config.values, "age_identity": str(self.folder / key)})

    def make(self, unit: Unit) -> None:
        """De-identify, scan and seal a unit."""
        for path in (self.paths.manifest(unit), self.paths.verdict(unit), self.paths.sealed(unit)):
            path.parent.mkdir(parents=True, exist_ok=True)
        slip = self.slip(unit, self.prints[unit])
        manifest, verdict = self.paths.manifest(unit), self.paths.verdict(unit)
        deidentify(self.config, self.private, unit, slip, manifest)
        generation = archive.current_generation(self.paths, unit, Manifest.read(manifest))
        gate.scan(
            self.config,
            self.private,
            unit,
            generation=generation,
            manifest=manifest,
            verdict=verdict,
            contents=False,
        )
        self.seal(unit)

    def seal(self, unit: Unit) -> None:
        """What rule seal_unit does."""
        archive.seal_unit(
            self.config,
            self.private,
            unit,
            manifest=self.paths.manifest(unit),
            verdict=self.paths.verdict(unit),
            tarball=self.paths.sealed(unit),
            index=self.paths.index(unit),
            statement=self.paths.statement(unit),
        )

    def upload(self, unit: Unit, name: str) -> archive.Uploaded:
        """What rule upload_unit does; Snakemake removes the receipt first."""
        receipt = self.paths.receipt(name, unit)
        receipt.unlink(missing_ok=True)
        return archive.upload_unit(
            self.config,
            self.private,
            unit,
            name,
            manifest=self.paths.manifest(unit),
            verdict=self.paths.verdict(unit),
            receipt=receipt,
        )

    def archived(self) -> "ArchiveLab":
        """Have both units everywhere."""
        for unit in self.units:
            self.make(unit)
            for name in self.forms:
                self.upload(unit, name)
        return self

    def restore(self, unit: Unit, name: str, config: Config | None = None) -> Path:
        """Restore a unit; the folder of its files."""
        record = self.paths.restored_record(name, unit)
        restore.restore_unit(config or self.config, unit, name, record)
        return record.parent / str(unit)

    def copies(self, unit: Unit, name: str) -> dict[int, ledger.Copy]:
        """What the ledger knows."""
        return ledger.copies(self.paths.ledger(name, unit))

    def largest(self, unit: Unit, name: str) -> Path:
        """The tarball, or a clip, of a unit at a destination that is a folder."""
        copy = max(self.copies(unit, name).values(), key=lambda one: one.generation)
        key = max(copy.objects, key=lambda one: (int(one["size"]), str(one["key"])))["key"]
        return self.folder / name / str(key)


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file, as somebody who writes to it: its time becomes another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def rot(path: Path) -> None:
    """Flip a bit as a disk does it: size and time stay."""
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
