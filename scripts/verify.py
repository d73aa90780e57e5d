"""Rule verify: what the destinations list, against the ledgers and the records of the registry's copies."""

from ecogvault.registry_copy.look import verify_all
from ecogvault.scripting import job

with job(snakemake) as rule:
    verify_all(rule.config, say=rule.tell, again=rule.params.again)
