# ecogvault: a hospital export in; de-identified, sealed and proven copies out. Settings: config/config.yaml.
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, f"{workflow.basedir}/scripts")

from ecogvault import workflow as ecogvault

# Snakemake merges configuration files deeply: with --configfile, a lab's own destinations must not linger.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


with ecogvault.explained(WorkflowError):
    ecogvault.answer_interrupts(shell)
    PLAN = ecogvault.plan(config, main_process=workflow.is_main_process)


pathvars:
    results=PLAN.results,
    sealed=PLAN.sealed,
    restored=PLAN.restored,


# The other targets that a person asks for stand at the top of their stage's file.
rule all:
    input:
        PLAN.receipts,
        PLAN.slips,
        PLAN.manifests,
        PLAN.verdicts,
        PLAN.refusals,
        lambda wildcards: PLAN.registry_records,
        lambda wildcards: PLAN.unsent_tarballs,


include: "rules/common.smk"
include: "rules/order.smk"
include: "rules/deidentify.smk"
include: "rules/seal.smk"
include: "rules/archive.smk"
include: "rules/registry.smk"
include: "rules/restore.smk"
include: "rules/actions.smk"


onstart:
    ecogvault.freeze(PLAN, WorkflowError)


onsuccess:
    ecogvault.close(PLAN, succeeded=True)


onerror:
    ecogvault.close(PLAN, succeeded=False)
