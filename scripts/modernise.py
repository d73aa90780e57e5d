"""Rule modernise: old copies that were adopted are opened and registered, to be archived anew."""

from ecogvault.estate.modernise import modernise
from ecogvault.private import open_private
from ecogvault.scripting import job

with job(snakemake) as rule:
    modernise(rule.config, open_private(rule.config), say=rule.tell)
