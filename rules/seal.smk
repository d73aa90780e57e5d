# Seal: a scanned unit becomes one tarball that any age, zstd and tar can open.

SEAL_FORMAT = 1  # raise it to have every unit sealed again


rule seal:
    input:
        PLAN.tarballs,
        PLAN.manifests,
        PLAN.refusals,


rule seal_unit:
    input:
        manifest="<results>/{code}/manifest/{code}_{n}_{kind}.tsv",
        verdict=ancient("<results>/{code}/phi/{code}_{n}_{kind}.json"),
        recipients=ancient(PLAN.recipients),
    output:
        tarball="<sealed>/{code}/sealed/{code}_{n}_{kind}.tar.zst.age",
        index="<sealed>/{code}/sealed/{code}_{n}_{kind}.index.json",
        statement="<sealed>/{code}/sealed/{code}_{n}_{kind}.statement.json",
    log:
        "<logs>/seal_unit/{code}_{n}_{kind}.log",
    conda:
        "../envs/ecogvault.yaml"
    threads: 2
    resources:
        mem_mb=400,
    params:
        format=SEAL_FORMAT,
    script:
        "../scripts/seal_unit.py"
