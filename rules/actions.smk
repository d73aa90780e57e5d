# Actions always run, do all they can, and end with one line per destination.


rule verify:
    log:
        "<logs>/verify.log",
    conda:
        "../envs/ecogvault.yaml"
    script:
        "../scripts/verify.py"


rule prune:
    log:
        "<logs>/prune.log",
    conda:
        "../envs/ecogvault.yaml"
    script:
        "../scripts/prune.py"
