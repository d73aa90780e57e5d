# De-identify: coded names, scrubbed headers, a manifest; then the scan that everything must pass before it leaves.

DEIDENTIFY_FORMAT = 1  # raise it to have every unit de-identified again
SCAN_FORMAT = 2  # raise it to have every unit scanned again


rule deidentify:
    input:
        PLAN.slips,
        PLAN.manifests,
        PLAN.verdicts,
        PLAN.refusals,


rule deidentify_edf:
    input:
        slip=slip,
    output:
        manifest="<results>/{code}/manifest/{code}_{n}_{kind}.tsv",
        recording="<results>/{code}/{kind}/{code}_{n}.{kind}",
    log:
        "<logs>/deidentify_edf/{code}_{n}_{kind}.log",
    wildcard_constraints:
        kind="edf|bdf",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=200,
    params:
        format=lambda wildcards: PLAN.format(
            wildcards.code, wildcards.n, wildcards.kind, DEIDENTIFY_FORMAT
        ),
        policy=lambda wildcards: PLAN.policy(
            wildcards.code, wildcards.n, wildcards.kind
        ),
        redactions=lambda wildcards: PLAN.redactions(
            wildcards.code, wildcards.n, wildcards.kind
        ),
    script:
        "../scripts/deidentify_unit.py"


rule deidentify_vid:
    input:
        slip=slip,
    output:
        manifest="<results>/{code}/manifest/{code}_{n}_{kind}.tsv",
    log:
        "<logs>/deidentify_vid/{code}_{n}_{kind}.log",
    wildcard_constraints:
        kind="vid",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=200,
    params:
        format=DEIDENTIFY_FORMAT,
    script:
        "../scripts/deidentify_unit.py"


rule deidentify_sync:
    input:
        slip=slip,
    output:
        manifest="<results>/{code}/manifest/{code}_{n}_{kind}.tsv",
    log:
        "<logs>/deidentify_sync/{code}_{n}_{kind}.log",
    wildcard_constraints:
        kind="sync",
    conda:
        "../envs/ecogvault.yaml"
    params:
        format=DEIDENTIFY_FORMAT,
    script:
        "../scripts/deidentify_unit.py"


rule scan_unit:
    input:
        manifest="<results>/{code}/manifest/{code}_{n}_{kind}.tsv",
    output:
        verdict="<results>/{code}/phi/{code}_{n}_{kind}.json",
    log:
        "<logs>/scan_unit/{code}_{n}_{kind}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=400,
    params:
        format=SCAN_FORMAT,
        identifiers=lambda wildcards: PLAN.identifiers(wildcards.code),
        contents=lambda wildcards: PLAN.scans_contents(wildcards.kind),
        phrases=lambda wildcards: PLAN.phrases(wildcards.kind),
    script:
        "../scripts/scan_unit.py"
