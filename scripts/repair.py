"""Rule repair: copies that were found missing or wrong are replaced from the best other copy, as it is."""

from ecogvault.private import open_private
from ecogvault.repair import repair
from ecogvault.scripting import job

with job(snakemake) as rule:
    repair(rule.config, open_private(rule.config), say=rule.tell)
