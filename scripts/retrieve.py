"""Rule restore, from where nothing can be read at once: ask, fetch and restore what has come, say what waits."""

from ecogvault.estate.later import restore_asked
from ecogvault.scripting import job

with job(snakemake) as rule:
    restore_asked(rule.config, say=rule.tell, again=rule.params.again)
