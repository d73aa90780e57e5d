# Archive: each unit goes to each destination that takes its kind; the receipt says what the destination confirmed.

UPLOAD_FORMAT = 1  # raise it to have every upload checked against its ledger again


rule upload:
    input:
        PLAN.receipts,
        PLAN.manifests,
        PLAN.refusals,
        lambda wildcards: PLAN.unsent_tarballs,


# A new content comes as its manifest. The statement stands for the sealed tarball, which may be pruned when it was sent.
rule upload_unit:
    input:
        manifest="<results>/{code}/manifest/{code}_{n}_{kind}.tsv",
        statement=ancient(sealed_statement),
        verdict=ancient("<results>/{code}/phi/{code}_{n}_{kind}.json"),
        recipients=ancient(PLAN.recipients),
    output:
        receipt="<results>/{code}/receipts/{destination}/{code}_{n}_{kind}.json",
    log:
        "<logs>/upload_unit/{destination}/{code}_{n}_{kind}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=400,
    params:
        format=UPLOAD_FORMAT,
    script:
        "../scripts/upload_unit.py"
