# Registry: what links codes to people goes, sealed to its own recipients, to each destination with `registry: true`.

REGISTRY_FORMAT = 1  # raise it to have the registry compared with its copies again


# The digest tells people, folders and sessions apart; a unit that was made anew comes as its manifest. Receipts only
# say when: a copy that holds what all of the run has written.
rule keep_registry:
    input:
        manifests=PLAN.manifests,
        receipts=ancient(registry_receipts),
        recipients=ancient(PLAN.registry_recipients),
    output:
        record="<results>/registry/{destination}.{digest}.json",
    log:
        "<logs>/keep_registry/{destination}.{digest}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=300,
    params:
        format=REGISTRY_FORMAT,
    script:
        "../scripts/keep_registry.py"
