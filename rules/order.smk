# Order: sessions are numbered by start time, and a slip says what each unit is.

ORDER_FORMAT = 1  # raise it to have every slip written again


# On a cluster these run where snakemake does: they take a moment, and only there is known why a subject is stopped.
localrules:
    order_unit,
    refuse_subject,


rule order:
    input:
        PLAN.slips,
        PLAN.refusals,


rule order_unit:
    output:
        "<results>/{code}/order/{code}_{n}_{kind}.{fingerprint}.json",
    log:
        "<logs>/order_unit/{code}_{n}_{kind}.{fingerprint}.log",
    conda:
        "../envs/ecogvault.yaml"
    params:
        format=ORDER_FORMAT,
    script:
        "../scripts/order_unit.py"


# A subject whose export cannot be taken as it is stops here, alone; the other subjects go on.
rule refuse_subject:
    output:
        "<results>/{code}/order/accepted.never",
    log:
        "<logs>/refuse_subject/{code}.log",
    conda:
        "../envs/ecogvault.yaml"
    params:
        problem=lambda wildcards: PLAN.problem(wildcards.code),
    script:
        "../scripts/refuse_subject.py"
