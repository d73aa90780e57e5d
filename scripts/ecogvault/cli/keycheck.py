"""`ecogvault keycheck`: prove that a secret key still opens what is sealed; show when each key was last proven."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecogvault.age import KeyPair
    from ecogvault.config import Config
    from ecogvault.keycheck import Known
    from ecogvault.private import Private


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "keycheck",
        help="prove that a secret key opens what is sealed, or show when each was last proven",
        description="Encrypts random bytes to the recipient of KEY and decrypts them, says where the recipient stands"
        " in recipients.txt, opens the newest sealed tarball here that was encrypted to it, and remembers the date."
        " Without -i: lists all recipients and when each key was last proven, so that the escrow is not forgotten.",
    )
    parser.add_argument("-i", "--identity", type=Path, metavar="KEY", help="age identity file to prove")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="0600 file with the passphrase of KEY (default: a prompt)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, and list. The status is 1 if the key stands in neither file of recipients."""
    from ecogvault import audit, config, keycheck
    from ecogvault.cli.open import ask_identities
    from ecogvault.private import open_private

    settings = config.load(args.config)
    private = open_private(settings) if settings.private.is_dir() else None
    known = keycheck.known_recipients(settings, private)
    checked: set[str] = set()
    listed = True
    if args.identity is not None:
        if private is not None:
            audit.refuse_unless_writable(private)
        for key in ask_identities(args.identity, args.passphrase_file):
            listed = _check(settings, private, key, known) and listed
            checked.add(key.recipient().fingerprint)
        if private is None:
            print("not remembered: this machine has no private folder")
    _show([one for one in known if one.fingerprint not in checked], others=bool(checked))
    return 0 if listed else 1


def _check(settings: "Config", private: "Private | None", key: "KeyPair", known: "list[Known]") -> bool:
    """Prove one key and say what was found. Whether it is listed anywhere."""
    from ecogvault import audit, keycheck

    fingerprint = key.recipient().fingerprint
    keycheck.round_trip(key)
    print(f"{fingerprint}: opens what is encrypted to it")
    places = next((one.places for one in known if one.fingerprint == fingerprint), ())
    for place in places:
        print(f"  {place}")
    for setting in keycheck.LISTS:
        if setting not in {place.setting for place in places}:
            print(f"  not in {settings.path(setting)}: what is sealed for {_what(setting)} does not open with it")
    sealed = keycheck.sealed_here(settings, fingerprint)
    if sealed.newest is not None:
        keycheck.require_opens(settings, sealed.newest, key)
        print(f"  opens {sealed.newest}, the newest of {sealed.to_it} sealed tarballs here that are encrypted to it")
    if sealed.others:
        advice = ": `ecogvault reseal --all` would change that" if places else ""
        print(f"  {sealed.others} sealed tarballs here are not encrypted to it{advice}")
    if private is not None:
        keycheck.note(private, fingerprint, places, sealed.newest)
        audit.record(private, "keycheck", reason=fingerprint)
    return bool(places)


def _what(setting: str) -> str:
    return "units" if setting == "recipients" else "the registry"


def _show(known: "list[Known]", *, others: bool) -> None:
    if not known:
        if not others:
            print("no recipients are listed yet: `ecogvault keygen` makes keys")
        return
    print("other keys, last checked:" if others else "keys, last checked:")
    for one in known:
        places = "; ".join(map(str, one.places))
        print(f"  {one.checked:<20}  {one.fingerprint}  {places}")
