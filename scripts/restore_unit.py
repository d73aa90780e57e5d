"""Rule restore_unit: a unit comes back from a destination, is opened and compared; what was proven is the record."""

from ecogvault import audit
from ecogvault.restore import restore_unit
from ecogvault.scripting import job

with job(snakemake) as rule:
    audit.record_here(rule.config, "restore", rule.unit.code, f"{rule.unit} from {rule.wildcards.destination}")
    rule.say(restore_unit(rule.config, rule.unit, rule.wildcards.destination, rule.output.record))
