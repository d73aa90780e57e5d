"""Rule order_unit: the assignment in, the unit's order slip out."""

from ecogvault.intake.slip import make_slip
from ecogvault.place import Tree
from ecogvault.private import open_private
from ecogvault.scripting import job

with job(snakemake) as rule:
    tree = Tree.of(rule.config)
    private = open_private(rule.config)
    make_slip(rule.config, private, rule.unit, rule.wildcards.fingerprint, mode=tree.file_mode, group=tree.gid)
