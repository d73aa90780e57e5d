"""`ecogvault sandbox`: local servers and a made-up hospital export, for trying things out without a cloud."""

import argparse
from pathlib import Path


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb and its own verbs."""
    parser = subparsers.add_parser(
        "sandbox", help="local servers and a made-up export, to try everything without a cloud"
    )
    verbs = parser.add_subparsers(dest="sandbox_verb", required=True, metavar="VERB")

    up = verbs.add_parser("up", help="start the local servers and write DIR/sandbox.json")
    up.add_argument("--dir", type=Path, required=True, help="their folder: data, logs and sandbox.json")
    up.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        help="start only this server: s3 or azure (may be given twice; default: all that can run on this machine)",
    )
    up.set_defaults(run=_up)

    down = verbs.add_parser("down", help="end the local servers of this folder; their data stays")
    down.add_argument("--dir", type=Path, required=True, help="the folder given to `sandbox up`")
    down.set_defaults(run=_down)

    export = verbs.add_parser("export", help="write a made-up hospital export of about 10 MB")
    export.add_argument("--dir", type=Path, required=True, help="a new or empty folder")
    export.add_argument("--seed", type=int, default=1, help="another seed, other content (default: 1)")
    export.add_argument("--persons", type=Path, help="also write the patients' files for `register --person` here")
    export.set_defaults(run=_export)

    demo = verbs.add_parser("demo", help="take a made-up export through the whole graph, by the real commands")
    demo.add_argument("--dir", type=Path, default=Path("demo"), help="where everything is put (default: demo)")
    demo.set_defaults(run=_demo)


def _up(args: argparse.Namespace) -> int:
    from ecogvault.sandbox import servers
    from ecogvault.sandbox.processes import SandboxError

    unknown = sorted(set(args.only or ()) - set(servers.NAMES))
    if unknown:
        raise SandboxError(f"--only knows {', '.join(servers.NAMES)}, and not {', '.join(unknown)}")
    running = servers.are_up(args.dir, args.only)
    details = servers.up(args.dir, args.only)
    print("the local servers are already running:" if running else "the local servers run:")
    for name, service in details.items():
        address = service.get("endpoint_url") or service["account_url"]
        print(f"  {name}: {address}, process {', '.join(map(str, service['pids']))}")
    for one in servers.SERVICES:
        reason = one.lacking()
        if args.only is None and reason:
            print(f"  {one.name} is left out: {reason}")
    print(f"  addresses and keys: {args.dir / servers.FILE}")
    return 0


def _down(args: argparse.Namespace) -> int:
    from ecogvault.sandbox import servers

    servers.down(args.dir)
    print("the local servers are down")
    return 0


def _export(args: argparse.Namespace) -> int:
    from ecogvault.sandbox.export import make_export, write_person_files
    from ecogvault.sizes import fitting

    export = make_export(args.dir, seed=args.seed)
    size = sum(path.stat().st_size for path in args.dir.rglob("*") if path.is_file())
    print(f"{len(export.sessions)} sessions of {len(export.patients) + 1} people, {fitting(size)}")
    if args.persons:
        print(
            f"{len(write_person_files(args.persons, export.patients))} person files for `ecogvault register --person`"
        )
    return 0


def _demo(args: argparse.Namespace) -> int:
    from ecogvault.cli.subjects import layout
    from ecogvault.sandbox import demo
    from ecogvault.sizes import fitting

    config_file, lines = demo.run(args.dir)
    rows: list[dict[str, str | int]] = [
        {
            "unit": str(line.unit),
            "destination": line.destination,
            "evidence": line.evidence,
            "objects": line.objects,
            "size": fitting(line.size),
        }
        for line in lines
    ]
    print(f"\n{layout(('unit', 'destination', 'evidence', 'objects', 'size'), rows)}\n")
    for what, where in demo.whereabouts(args.dir):
        print(f"{what:<34} {where}")
    print(f"\nThe local servers are down again; their data stays. The configuration was {config_file}.")
    return 0
