"""Rule drill: copies are restored only to prove that it works, and wiped; failure is loud."""

from ecogvault import audit
from ecogvault.drill import drill
from ecogvault.scripting import job

with job(snakemake) as rule:
    for unit, destination in drill(rule.config, say=rule.tell):
        audit.record_here(rule.config, "drill", unit.code, f"{unit} from {destination}")
