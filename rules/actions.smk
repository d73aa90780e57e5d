# Actions always run, do all they can, and end with one line per destination.


localrules:
    all,
    order,
    deidentify,
    seal,
    upload,
    restore,


rule all:
    default_target: True
    input:
        PLAN.receipts,
        PLAN.slips,
        by_unit(PLAN.results + "/{code}/phi/{unit}.json"),
        PLAN.refusals,


rule verify:
    log:
        "<logs>/verify.log",
    conda:
        "../envs/ecogvault.yaml"
    script:
        "../scripts/verify.py"
