"""Rule restore_unit: a unit comes back from a destination, is opened and compared; what was proven is the record."""

from ecogvault import audit
from ecogvault.restore import restore_unit
from ecogvault.restore.suspect import judged
from ecogvault.scripting import job

with job(snakemake) as rule:
    place = rule.wildcards.destination
    audit.record_here(rule.config, "restore", rule.unit.code, f"{rule.unit} from {place}")
    with judged(rule.config, rule.unit, place):
        rule.say(restore_unit(rule.config, rule.unit, place, rule.output.record))
