"""Rule keep_registry: the private folder, sealed, to one destination; the record of the copy out."""

from ecogvault.private import open_private
from ecogvault.registry_copy.keep import keep_registry
from ecogvault.scripting import job

with job(snakemake) as rule:
    private = open_private(rule.config)
    rule.say(keep_registry(rule.config, private, rule.wildcards.destination, rule.wildcards.digest, rule.output.record))
