"""Rule prune: sealed tarballs go once every destination lists its copy; coded files go when that is confirmed."""

from ecogvault.prune import prune
from ecogvault.prune_trees import ask, prune_trees
from ecogvault.scripting import job

with job(snakemake) as rule:
    listed = ask(rule.config, say=rule.tell, again=rule.params.again)
    prune(rule.config, say=rule.tell)
    prune_trees(rule.config, rule.params.unnumbered, listed, say=rule.tell)
