"""Rules deidentify_edf, deidentify_vid, deidentify_sync: the order slip in, coded files and their manifest out."""

from ecogvault.deidentify import deidentify
from ecogvault.intake.slip import read_slip
from ecogvault.ledger import highest
from ecogvault.private import open_private
from ecogvault.scripting import job, progress_bar

with job(snakemake) as rule:
    total = sum(file["size"] for file in read_slip(rule.input.slip)["files"])
    progress = progress_bar(total, str(rule.unit))
    private = open_private(rule.config)
    made = deidentify(
        rule.config,
        private,
        rule.unit,
        rule.input.slip,
        rule.output.manifest,
        progress,
        rule.params.format,
        archived=highest(rule.paths, rule.unit),
    )
    for remark in made:
        rule.say(remark)
