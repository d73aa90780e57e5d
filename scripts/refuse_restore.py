"""Rule refuse_restore: says why what was asked for cannot be restored. It never succeeds."""

from ecogvault.config import ConfigError
from ecogvault.scripting import job

with job(snakemake) as rule:
    raise ConfigError(rule.params.problem)
