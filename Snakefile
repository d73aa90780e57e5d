# ecogvault: a hospital export in; de-identified, sealed and proven copies out.
# `snakemake -n` shows what would be done, `snakemake --cores N` does it. Settings: config/config.yaml.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.27")

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from ecogvault import workflow as ecogvault
from ecogvault.errors import EcogvaultError

# Snakemake merges configuration files deeply: with --configfile, a lab's own destinations must not linger.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


try:
    PLAN = ecogvault.plan(config, main_process=workflow.is_main_process)
except EcogvaultError as error:
    raise WorkflowError(str(error)) from None


pathvars:
    results=PLAN.results,
    sealed=PLAN.sealed,
    restored=PLAN.restored,


include: "rules/common.smk"
include: "rules/order.smk"
include: "rules/deidentify.smk"
include: "rules/seal.smk"
include: "rules/archive.smk"
include: "rules/restore.smk"
include: "rules/actions.smk"


onstart:
    ecogvault.freeze(PLAN)


onsuccess:
    ecogvault.close(PLAN, succeeded=True)


onerror:
    ecogvault.close(PLAN, succeeded=False)
