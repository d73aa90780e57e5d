# Where things are: what wildcards stand for, and the files of a unit.


wildcard_constraints:
    code="[a-f][0-9a-f]{7}",
    n="[1-9][0-9]*",
    kind="edf|bdf|vid|sync",
    fingerprint="[0-9a-f]{12}",
    destination="[a-z][a-z0-9-]*",
    digest="[0-9a-f]{12}",
    one="([.][0-9a-f]{12})?",
    when="[0-9]+",


def slip(wildcards):
    """The order slip of a unit by its current name, which holds the fingerprint of its raw files."""
    return PLAN.slip(wildcards.code, wildcards.n, wildcards.kind)


def sealed_statement(wildcards):
    """The statement of what was sealed, where sealed tarballs go."""
    return PLAN.sealed_statement(
        wildcards.destination, wildcards.code, wildcards.n, wildcards.kind
    )


def registry_receipts(wildcards):
    """The receipts of all units from a destination: the registry's copy goes there last."""
    return PLAN.receipts_from(wildcards.destination)
