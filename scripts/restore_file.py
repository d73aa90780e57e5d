"""Rule restore_file: one file of a unit comes back from a destination, by its own bytes, and is compared."""

from ecogvault import audit
from ecogvault.restore import restore_file
from ecogvault.scripting import job

with job(snakemake) as rule:
    place = rule.wildcards.destination
    audit.record_here(rule.config, "restore", rule.unit.code, f"{rule.params.path} of {rule.unit} from {place}")
    rule.say(restore_file(rule.config, rule.unit, place, rule.params.path, rule.output.record))
