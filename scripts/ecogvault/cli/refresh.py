"""`ecogvault refresh CODE`: raw files that were copied again without their times are told from changed ones."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "refresh",
        help="tell raw files that have new times and old content from changed ones",
        description="Reads the raw files of every unit whose sizes or times are not those recorded, and compares them "
        "with what was archived. Units with equal content are not made again by the next run; the others are.",
    )
    parser.add_argument("code", metavar="CODE", help="the subject")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, say one line a unit; the status is 1 if anything differs or cannot be told."""
    from ecogvault import audit, config, registry
    from ecogvault.naming import require_code
    from ecogvault.private import open_private
    from ecogvault.refresh import EQUAL, find_moved, refresh_unit
    from ecogvault.scripting import progress_bar

    settings = config.load(args.config)
    private = open_private(settings)
    subject = registry.find(registry.load(private), require_code(args.code))
    audit.refuse_unless_writable(private)
    moved, unchanged = find_moved(settings, private, subject)
    audit.record(private, "refresh", subject.code)
    progress = progress_bar(sum(one.size for one in moved), subject.code)
    findings = []
    for one in moved:
        finding = refresh_unit(settings, private, one, progress)
        findings.append(finding)
        print(f"{one.unit}: {finding.line}", flush=True)
    print(f"{unchanged} unit(s) have the sizes and times that are recorded")
    return 0 if all(finding.outcome == EQUAL for finding in findings) else 1
