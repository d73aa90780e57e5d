"""Rule refuse_subject: says why a subject's raw export cannot be taken as it is. It never succeeds."""

from ecogvault.intake import IntakeError
from ecogvault.scripting import job

with job(snakemake) as rule:
    raise IntakeError(rule.params.problem)
