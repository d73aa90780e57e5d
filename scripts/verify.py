"""Rule verify: what the destinations list, against the ledgers."""

from ecogvault.scripting import job
from ecogvault.verify import verify

with job(snakemake) as rule:
    verify(rule.config, say=rule.tell, again=rule.params.again)
