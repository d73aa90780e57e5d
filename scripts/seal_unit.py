"""Rule seal_unit: manifest and verdict in; sealed tarball, index and signed statement out."""

from ecogvault.archive import seal_unit
from ecogvault.private import open_private
from ecogvault.scripting import job

with job(snakemake) as rule:
    done = seal_unit(
        rule.config,
        open_private(rule.config),
        rule.unit,
        manifest=rule.input.manifest,
        verdict=rule.input.verdict,
        tarball=rule.output.tarball,
        index=rule.output.index,
        statement=rule.output.statement,
        threads=rule.threads,
    )
    rule.say(done)
