"""The profiles of snakemake say the same where it must be the same."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_cluster_profile_repeats_what_the_default_profile_says_except_the_cores_of_one_machine() -> None:
    default, slurm = (
        yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text()) for name in ("default", "slurm")
    )
    assert {key: slurm.get(key) for key in default if key != "cores"} == {
        key: value for key, value in default.items() if key != "cores"
    }


def test_the_cluster_profile_gives_each_rule_the_memory_it_asks_for_and_what_snakemake_needs_around_it() -> None:
    slurm = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())
    rules = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    own = {
        name: int(memory)
        for name, memory in re.findall(r"^rule (\w+):(?:(?!^rule ).)*?mem_mb=(\d+)", rules, re.MULTILINE | re.DOTALL)
    }
    given = {rule: values["mem_mb"] for rule, values in slurm["set-resources"].items()}
    # 400 MB are for the two Snakemake processes around each job.
    assert {rule: needed + 400 for rule, needed in own.items()} == given
