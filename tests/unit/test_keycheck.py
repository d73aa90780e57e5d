"""`ecogvault keycheck`: a real round trip, where the recipient stands, what it opens, and when it was last done."""

import os
from pathlib import Path

import pytest
import yaml
from tarball_builder import sealed, tree

from ecogvault import audit, keycheck
from ecogvault.age import HybridIdentity, KeyPair, generate, write_identity_file
from ecogvault.cli import main
from ecogvault.config import Config, load
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import open_private
from ecogvault.records import read_journal

PASSPHRASE = b"four made-up words here"


class Lab:
    """A configuration with a private folder, and the keys daily and escrow in both files of recipients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys: dict[str, KeyPair] = {}
        self.file = folder / "config.yaml"
        settings = {name: str(folder / name) for name in ("results", "private")}
        settings |= {name: str(folder / f"{name}.txt") for name in ("recipients", "registry_recipients", "signers")}
        nas = {"type": "folder", "zone": "inside", "form": "tarball", "path": str(folder / "nas")}
        self.file.write_text(yaml.safe_dump({**settings, "destinations": {"nas": nas}}))
        lines = "".join(f"# the {name} key\n{self.key(name).recipient()}\n\n" for name in ("daily", "escrow"))
        for name in ("recipients", "registry_recipients"):
            (folder / f"{name}.txt").write_text(lines)
        open_private(self.config, create=True)

    @property
    def config(self) -> Config:
        return load(self.file)

    def key(self, name: str, passphrase: bytes | None = None) -> KeyPair:
        self.keys[name] = generate()
        write_identity_file(self.folder / name, self.keys[name], passphrase)
        return self.keys[name]

    def print_of(self, name: str) -> str:
        return self.keys[name].recipient().fingerprint

    def seal(self, number: int, *names: str) -> Path:
        """Seal a unit to the keys of these names; its tarball."""
        unit = Unit("df5c5206", number, "vid")
        paths = Paths.of(self.config)
        manifest = tree(paths.subject(unit.code), {f"vid/{unit.session}/{unit.session}_0001.avi": b"RIFF"})
        places = {"tarball": paths.sealed(unit), "index": paths.index(unit), "statement": paths.statement(unit)}
        to = [self.keys[name].recipient() for name in names]
        sealed(paths.sealed(unit).parent, manifest, paths.subject(unit.code), unit=str(unit), recipients=to, **places)
        return paths.sealed(unit)

    def run(self, *words: object) -> int:
        return main(["--config", str(self.file), "keycheck", *map(str, words)])

    def remembered(self) -> list[dict[str, object]]:
        return read_journal(self.config.private / keycheck.FILE)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_key_is_proven_by_what_is_sealed_here_and_the_date_is_kept(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.seal(1, "daily", "escrow")
    lab.seal(2, "daily")
    assert lab.run("-i", lab.folder / "escrow") == 0
    said = capsys.readouterr().out
    assert f"{lab.print_of('escrow')}: opens what is encrypted to it" in said
    assert f"{lab.folder / 'recipients.txt'}, line 5: escrow (the escrow key)" in said
    assert f"{lab.folder / 'registry_recipients.txt'}, line 5: escrow (the escrow key)" in said
    assert "opens df5c5206_1_vid, the newest of 1 sealed tarballs here" in said
    assert "1 sealed tarballs here are not encrypted to it" in said
    (line,) = lab.remembered()
    assert (line["recipient"], line["opened"]) == (lab.print_of("escrow"), "df5c5206_1_vid")
    assert line["lists"] == ["recipients", "registry_recipients"]
    assert (lab.config.private / keycheck.FILE).stat().st_mode & 0o777 == 0o600
    (noted,) = audit.check(open_private(lab.config))
    assert (noted["verb"], noted["reason"]) == ("keycheck", lab.print_of("escrow"))


def test_the_list_says_which_key_was_never_checked(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["never", "never"]
    assert lab.run("-i", lab.folder / "daily") == 0
    others = capsys.readouterr().out.partition("other keys, last checked:\n")[2]
    assert others.split()[:2] == ["never", lab.print_of("escrow")]
    assert lab.run() == 0
    daily, escrow = capsys.readouterr().out.splitlines()[1:]
    assert daily.split()[:2] == [lab.remembered()[0]["at"], lab.print_of("daily")]
    assert escrow.split()[0] == "never"


def test_a_key_that_is_listed_nowhere_is_said_and_fails(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.key("strange")
    assert lab.run("-i", lab.folder / "strange") == 1
    said = capsys.readouterr().out
    assert f"not in {lab.folder / 'recipients.txt'}: what is sealed for units does not open with it" in said
    assert f"not in {lab.folder / 'registry_recipients.txt'}: what is sealed for the registry" in said


def test_a_key_that_does_not_open_what_names_it_fails_by_name_and_is_not_remembered(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    tarball = lab.seal(1, "daily", "escrow")
    other = lab.seal(2, "escrow")
    tarball.write_bytes(other.read_bytes())
    assert lab.run("-i", lab.folder / "daily") == 1
    said = capsys.readouterr().err
    assert "does not open" in said
    assert "df5c5206_1_vid.tar.zst.age" in said
    assert lab.remembered() == []


def test_a_machine_that_does_not_decrypt_what_it_encrypts_is_found(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(HybridIdentity, "unwrap", lambda self, stanza: None)
    assert lab.run("-i", lab.folder / "daily") == 1
    assert "does not open what is encrypted to it" in capsys.readouterr().err
    assert lab.remembered() == []


def test_a_protected_key_is_checked_with_its_passphrase(lab: Lab) -> None:
    lab.key("protected", PASSPHRASE)
    passphrase = lab.folder / "passphrase"
    passphrase.write_bytes(PASSPHRASE + b"\n")
    passphrase.chmod(0o600)
    assert lab.run("-i", lab.folder / "protected", "--passphrase-file", passphrase) == 1  # right, but listed nowhere
    assert [line["recipient"] for line in lab.remembered()] == [lab.print_of("protected")]
    passphrase.write_bytes(b"another phrase\n")
    assert lab.run("-i", lab.folder / "protected", "--passphrase-file", passphrase) == 1
    assert len(lab.remembered()) == 1


def test_a_machine_without_a_private_folder_checks_and_remembers_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab(tmp_path)
    lab.config.private.rename(tmp_path / "elsewhere")
    assert lab.run("-i", lab.folder / "daily") == 0
    assert "not remembered" in capsys.readouterr().out
    assert not lab.config.private.exists()


@pytest.mark.parametrize(
    ("mode", "passphrase", "warned"),
    [
        (0o644, None, True),
        (0o640, None, True),
        (0o600, None, False),
        (0o644, PASSPHRASE, False),
    ],
)
def test_a_key_that_others_may_read_without_a_passphrase_is_used_with_a_warning(
    lab: Lab, capsys: pytest.CaptureFixture[str], mode: int, passphrase: bytes | None, warned: bool
) -> None:
    lab.key("other", passphrase)
    (lab.folder / "other").chmod(mode)
    (lab.folder / "passphrase").write_bytes(PASSPHRASE)
    (lab.folder / "passphrase").chmod(0o600)
    words = ("-i", lab.folder / "other", "--passphrase-file", lab.folder / "passphrase")
    lab.run(*words)
    error = capsys.readouterr().err
    assert ("warning" in error) is warned
    assert (
        f"is a secret key without a passphrase, and others may read it: chmod 600 {lab.folder / 'other'}" in error
    ) is warned
    page = lab.folder / "page"
    assert main(["paper-key", str(lab.folder / "other"), "-o", str(page), *map(str, words[2:])]) == 0
    assert ("warning" in capsys.readouterr().err) is warned


def test_a_key_from_a_pipe_is_read_once_and_not_warned_of(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.write(writer, (lab.folder / "daily").read_bytes())
    os.close(writer)
    try:
        assert lab.run("-i", f"/dev/fd/{reader}") == 0
    finally:
        os.close(reader)
    assert "warning" not in capsys.readouterr().err
