"""Rule restore_again: what is lacking of a restore comes back once more; what is as it came is not fetched."""

from ecogvault import audit
from ecogvault.restore import restore_file, restore_unit
from ecogvault.restore.suspect import judged
from ecogvault.scripting import job

with job(snakemake) as rule:
    place, path = rule.wildcards.destination, rule.params.path
    record = rule.paths.restored_record(place, rule.unit, path)
    what = f"{path} of {rule.unit}" if path else str(rule.unit)
    audit.record_here(rule.config, "restore", rule.unit.code, f"{what} from {place}, again")
    if path:
        rule.say(restore_file(rule.config, rule.unit, place, path, record))
    else:
        with judged(rule.config, rule.unit, place):
            rule.say(restore_unit(rule.config, rule.unit, place, record))
    rule.output.mark.touch()
