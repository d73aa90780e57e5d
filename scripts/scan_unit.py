"""Rule scan_unit: the manifest in, the verdict out. It succeeds whatever it finds; the gate is where bytes leave."""

from ecogvault.archive import current_generation
from ecogvault.gate import scan
from ecogvault.manifest import Manifest
from ecogvault.private import open_private
from ecogvault.scripting import job

with job(snakemake) as rule:
    found = scan(
        rule.config,
        open_private(rule.config),
        rule.unit,
        generation=current_generation(rule.paths, rule.unit, Manifest.read(rule.input.manifest)),
        manifest=rule.input.manifest,
        verdict=rule.output.verdict,
        contents=rule.params.contents,
    )
    rule.say(f"{found.outcome}: {found.count} findings, {len(found.annotations or ())} free texts in annotations")
