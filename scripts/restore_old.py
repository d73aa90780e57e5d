"""Rule restore_old: an old copy comes back from a destination and is opened; what came out is the record."""

from ecogvault import audit
from ecogvault.estate.restore import find, restore_old
from ecogvault.scripting import job

with job(snakemake) as rule:
    words = rule.wildcards
    one = find(rule.config, words.destination, words.code, words.digest)
    audit.record_here(rule.config, "restore", words.code, f"old copy {one.old.name} from {words.destination}")
    rule.tell(f"{one.old.name} from {words.destination}: {restore_old(rule.config, one)}")
