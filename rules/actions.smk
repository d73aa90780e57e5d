# Actions always run, do all they can, and end with one line per destination.


# Also on a cluster they run where snakemake does: their lines are for the person there, and no time limit ends them.
localrules:
    verify,
    prune,
    repair,
    drill,
    modernise,


rule verify:
    log:
        "<logs>/verify.log",
    conda:
        "../envs/ecogvault.yaml"
    params:
        again=PLAN.again,
    script:
        "../scripts/verify.py"


rule prune:
    log:
        "<logs>/prune.log",
    conda:
        "../envs/ecogvault.yaml"
    params:
        unnumbered=lambda wildcards: PLAN.unnumbered,
        again=PLAN.again,
    script:
        "../scripts/prune.py"


rule repair:
    log:
        "<logs>/repair.log",
    conda:
        "../envs/ecogvault.yaml"
    script:
        "../scripts/repair.py"


rule drill:
    log:
        "<logs>/drill.log",
    conda:
        "../envs/ecogvault.yaml"
    script:
        "../scripts/drill.py"


rule modernise:
    log:
        "<logs>/modernise.log",
    conda:
        "../envs/ecogvault.yaml"
    script:
        "../scripts/modernise.py"
