# Restore: copies come back from a destination, are opened, and compared with their manifest file by file.


localrules:
    restore,
    refuse_restore,


# Vaults and archive classes give nothing at once: then this is an action over several runs, which may end waiting.
if PLAN.asks_first:

    rule restore:
        log:
            "<logs>/restore.log",
        conda:
            "../envs/ecogvault.yaml"
        params:
            again=PLAN.again,
        script:
            "../scripts/retrieve.py"

else:

    rule restore:
        input:
            lambda wildcards: PLAN.restores,


# Receipts are no inputs: they would first have archived whatever lies in the raw folder now.
rule restore_unit:
    output:
        record="<restored>/{destination}/{code}_{n}_{kind}.json",
    log:
        "<logs>/restore_unit/{destination}/{code}_{n}_{kind}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=400,
    script:
        "../scripts/restore_unit.py"


# One file alone: only its own bytes are fetched. The digest is that of its path in the manifest.
rule restore_file:
    output:
        record="<restored>/{destination}/{code}_{n}_{kind}.{digest}.json",
    log:
        "<logs>/restore_file/{destination}/{code}_{n}_{kind}.{digest}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=400,
    params:
        path=lambda wildcards: PLAN.asked_path,
    script:
        "../scripts/restore_file.py"


# What came back before and is not all as it was: what has gone comes again. The mark is gone when the run ends.
rule restore_again:
    output:
        mark="<restored>/{destination}/{code}_{n}_{kind}{one}.{when}.again",
    log:
        "<logs>/restore_again/{destination}/{code}_{n}_{kind}{one}.{when}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=400,
    params:
        path=lambda wildcards: PLAN.asked_path,
    script:
        "../scripts/restore_again.py"


# What the lab made before this program: fetched, opened with the old password, hashed, and compared where it is known.
rule restore_old:
    output:
        record="<restored>/{destination}/{code}.old.{digest}.json",
    log:
        "<logs>/restore_old/{destination}/{code}.{digest}.log",
    conda:
        "../envs/ecogvault.yaml"
    resources:
        mem_mb=400,
    script:
        "../scripts/restore_old.py"


# A restore of what no ledger knows stops here, with a line that says why.
rule refuse_restore:
    output:
        "<restored>/asked.never",
    log:
        "<logs>/refuse_restore.log",
    conda:
        "../envs/ecogvault.yaml"
    params:
        problem=lambda wildcards: PLAN.restore_problem,
    script:
        "../scripts/refuse_restore.py"
