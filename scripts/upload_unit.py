"""Rule upload_unit: a sealed tarball, or the files of a manifest, to one destination; the receipt out."""

from ecogvault.archive import upload_unit
from ecogvault.private import open_private
from ecogvault.scripting import job

with job(snakemake) as rule:
    done = upload_unit(
        rule.config,
        open_private(rule.config),
        rule.unit,
        rule.wildcards.destination,
        manifest=rule.input.manifest,
        verdict=rule.input.verdict,
        receipt=rule.output.receipt,
    )
    rule.say(done.note)
