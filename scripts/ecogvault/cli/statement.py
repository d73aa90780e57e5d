"""`ecogvault statement verify FILE`: whether a seal statement can be believed, and whether a sealed tarball is its."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from ecogvault.config import Config

_NAME = re.compile(r"(?P<unit>.+?)(\.g(?P<generation>[1-9][0-9]*))?\.statement\.json")
_STEP = 1024 * 1024


class NotTheTarball(EcogvaultError):
    """A sealed tarball is not the one that its statement describes."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser("statement", help="check a signed seal statement")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="check signature, signer, chain, and the sealed tarball",
        description="Checks that a key in signers.txt signed the statement, that it says what its file name says, that"
        " it is the newest of its unit in this machine's chain (private/CODE/statements.jsonl, where there is one), and"
        " with --tarball that the sealed tarball is, byte for byte, the one it describes.",
    )
    verify.add_argument("file", type=Path, metavar="FILE", help="the statement (UNIT.gN.statement.json)")
    verify.add_argument("--tarball", type=Path, metavar="SEALED", help="the sealed tarball that it is to describe")
    verify.add_argument("--unit", metavar="UNIT", help="the unit it is to be of (default: the one in its file name)")
    verify.add_argument(
        "--generation", type=int, metavar="N", help="the generation it is to be of; an older one is right then"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, and show what the statement says."""
    from ecogvault import config
    from ecogvault.records import read_record
    from ecogvault.statement import believed, verify_statement

    settings = config.load(args.config)
    named = _NAME.fullmatch(args.file.name)
    generation = args.generation
    if generation is None and named and named["generation"]:
        generation = int(named["generation"])
    record = read_record(args.file)
    statement = verify_statement(
        record,
        believed(settings),
        unit=args.unit or (named["unit"] if named else None) or str(record.get("unit")),
        generation=generation,
    )
    place = _place(settings, statement, newest=args.generation is None)
    if args.tarball is not None:
        _require_tarball(args.tarball, statement)
    print(f"{statement['unit']}, generation {statement['generation']}, form {statement['form']}, {statement['at']}")
    print(f"signed by {statement['signer']}, which {settings.path('signers')} lists")
    print(place)
    for fingerprint in statement["recipients"]:
        print(f"encrypted to {fingerprint}{_where(settings, fingerprint)}")
    if args.tarball is not None:
        print(f"{args.tarball.name} is the sealed tarball that it describes")
    return 0


def _place(settings: "Config", statement: dict[str, Any], *, newest: bool) -> str:
    """Where it stands in this machine's chain. Raises StatementError."""
    from ecogvault import chain
    from ecogvault.naming import NotACode, Unit
    from ecogvault.private import open_private

    try:
        unit = Unit.parse(statement["unit"])
    except NotACode:
        return "not a unit's: no chain to look it up in"
    if not settings.private.is_dir():
        return "its place in the chain was not checked: this machine has no private folder"
    private = open_private(settings)
    if not chain.statements(private, unit):
        return "its place in the chain was not checked: this machine has none of this unit"
    return chain.place(private, unit, statement, newest=newest)


def _require_tarball(path: Path, statement: dict[str, Any]) -> None:
    """Raises NotTheTarball, and OSError as it comes."""
    from ecogvault.digests import TreeHash

    if statement["form"] != "tarball":
        raise NotTheTarball("this statement is of a set of files, not of a sealed tarball: leave out --tarball")
    tree = TreeHash()
    with open(path, "rb", buffering=0) as stream:
        while data := stream.read(_STEP):
            tree.update(data)
    if tree.hexdigest() != statement["sha256_tree"]:
        raise NotTheTarball(
            f"{path.name} is not the sealed tarball that the statement of {statement['unit']}, generation "
            f"{statement['generation']}, describes: it is damaged, or of another unit, seal or generation"
        )


def _where(settings: "Config", fingerprint: str) -> str:
    from ecogvault.keycheck import known_recipients

    places = next((one.places for one in known_recipients(settings, None) if one.fingerprint == fingerprint), ())
    return f": {'; '.join(map(str, places))}" if places else ", which is not listed today"
