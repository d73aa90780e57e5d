"""Rule prune: local sealed tarballs go once every destination is known to list its copy."""

from ecogvault.prune import prune
from ecogvault.scripting import job

with job(snakemake) as rule:
    prune(rule.config, say=rule.tell)
