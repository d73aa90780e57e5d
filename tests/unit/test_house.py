"""The house's own rules: sizes, import order, what is imported when, and files that must agree with each other."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ecogvault.config import DEFAULTS, load

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
LIBRARY = SCRIPTS / "ecogvault"
MODULES = sorted(LIBRARY.rglob("*.py"))
RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))
RULE_SCRIPTS = sorted(SCRIPTS.glob("*.py"))

# In the order in which data flows. A module imports from those before it, and never from one behind it.
ORDER = """
errors
sizes
person
digests
pool
naming
oldnames
files
records
manifest
destination
layout
config
paths
private
audit
registry
natus
synctext
edf
intake
phi
review
age
keys
statement
tarball
legacy
stores
transfer
place
kept
deidentify
gate
reviewing
chain
ledger
costs
vault
send
archive
evidence
rehash
verify
restore
retrieve
rebuild
drill
repair
registry_copy
refresh
reidentify
status
cleanup
reseal
keycheck
prune
prune_trees
estate
report
sandbox
closing
scripting
workflow
cli
__main__
""".split()

# Modules of packages that come with another, declared one.
COMES_WITH = {
    "awscrt": "boto3",
    "botocore": "boto3",
    "urllib3": "boto3",
    "requests": "azure-storage-blob",  # by way of azure-core, which sends through it
    "mypy_boto3_s3": "boto3-stubs",
    "mypy_boto3_glacier": "boto3-stubs",
}
DISTRIBUTIONS = {"yaml": "pyyaml", "azure": "azure-storage-blob"}


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_modules_rule_files_and_scripts_are_short() -> None:
    limits = {
        **dict.fromkeys(MODULES, 450),
        **dict.fromkeys(RULE_FILES, 100),
        **dict.fromkeys(RULE_SCRIPTS, 30),
        ROOT / "Snakefile": 60,
    }
    assert MODULES
    assert RULE_FILES
    assert RULE_SCRIPTS
    assert {str(path.relative_to(ROOT)): lines(path) for path, limit in limits.items() if lines(path) > limit} == {}


def test_rules_run_scripts_and_nothing_inline() -> None:
    inline = re.compile(r"^\s+(run|shell):", re.MULTILINE)
    assert [path.name for path in RULE_FILES if inline.search(path.read_text(encoding="utf-8"))] == []


def test_every_rule_script_belongs_to_a_rule_and_the_other_way_round() -> None:
    named = {
        name
        for path in RULE_FILES
        for name in re.findall(r'"\.\./scripts/(\w+\.py)"', path.read_text(encoding="utf-8"))
    }
    assert named == {path.name for path in RULE_SCRIPTS}


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them all by their names alone: of two it would take one, or refuse both."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


# --- imports ----------------------------------------------------------------------------------------------------------


def test_an_import_never_points_back_up() -> None:
    upward = set()
    for path in MODULES:
        here = path.relative_to(LIBRARY).with_suffix("").parts[0]
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "ecogvault" or parts[1] in (here, "__version__"):
                continue
            if here == "__init__" or ORDER.index(parts[1]) > ORDER.index(here):
                upward.add(f"{here} imports {parts[1]}")
    assert upward == set()


def test_every_module_has_its_place_in_the_order() -> None:
    assert {path.relative_to(LIBRARY).with_suffix("").parts[0] for path in MODULES} - {"__init__"} <= set(ORDER)


def test_the_map_of_the_library_shows_every_module() -> None:
    told = set(re.findall(r"\w+", (LIBRARY / "__init__.py").read_text(encoding="utf-8").split('"""')[1]))
    assert {path.relative_to(LIBRARY).with_suffix("").parts[0] for path in MODULES} - {"__init__"} - told == set()


def test_the_library_never_imports_snakemake() -> None:
    assert [path.name for path in MODULES if any(name.split(".")[0] == "snakemake" for name in imports(path))] == []


@pytest.mark.parametrize(
    "module", ["workflow", "scripting", "deidentify", "gate", "archive", "restore", "retrieve", "verify", "intake.slip"]
)
def test_a_job_loads_no_pandas_and_no_client_that_it_may_not_need(module: str) -> None:
    heavy = ["pandas", "boto3", "botocore", "azure", "jsonschema", "numpy", "openpyxl", "snakemake"]
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json, sys, ecogvault.{module}; print(json.dumps([m for m in {heavy} if m in sys.modules]))",
        ],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(loaded) == []


def test_every_import_from_outside_is_declared() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in project()["dependencies"]}
    extras = project()["optional-dependencies"]
    for_tests = declared | {canonicalize_name(Requirement(text).name) for some in extras.values() for text in some}
    ours = {"ecogvault", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    missing = set()
    for path in [*SCRIPTS.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        allowed = declared if SCRIPTS in path.parents else for_tests
        typing_only = {"mypy_boto3_s3", "mypy_boto3_glacier"}
        for top in {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - ours - typing_only:
            if canonicalize_name(COMES_WITH.get(top, DISTRIBUTIONS.get(top, top))) not in allowed:
                missing.add(f"{path.relative_to(ROOT)}: {top}")
    assert missing == set()


# --- files that must agree --------------------------------------------------------------------------------------------


def test_the_conda_environment_has_the_versions_of_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "ecogvault.yaml").read_text(encoding="utf-8"))
    (from_pypi,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert from_pypi == project()["dependencies"]
    assert f"python{project()['requires-python']}" in environment["dependencies"]


def test_the_lock_holds_every_declared_package_by_hash_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"https?:|file:|(?<![\w])/\w+/|--(?:index|extra|find)", text) == []
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    entries = [block for block in blocks if block.strip()]
    assert [block.splitlines()[0] for block in entries if "--hash=sha256:" not in block] == []
    locked: dict[str, list[str]] = {}
    for block in entries:
        name, version = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", block).groups()  # type: ignore[union-attr]
        locked.setdefault(canonicalize_name(name), []).append(version)
    wanted = [
        *project()["dependencies"],
        *(one for some in project()["optional-dependencies"].values() for one in some),
    ]
    for requirement in map(Requirement, wanted):
        if requirement.name != "ecogvault":
            versions = locked.get(canonicalize_name(requirement.name), [])
            assert versions, f"{requirement.name} is not in requirements.lock: make lock"
            assert all(requirement.specifier.contains(version) for version in versions), requirement.name


@pytest.mark.parametrize("name", ["config.yaml", "demo.yaml"])
def test_the_configurations_that_come_along_are_valid(name: str) -> None:
    assert load(ROOT / "config" / name).destinations


def keys(schema: Any) -> Iterator[str]:
    """Every key that a schema gives to people, at any depth."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties" and isinstance(value, dict):
                yield from value
            yield from keys(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys(value)


def test_config_yaml_explains_every_key_that_there_is() -> None:
    schema = yaml.safe_load((ROOT / "config" / "config.schema.yaml").read_text(encoding="utf-8"))
    text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    unexplained = {key for key in keys(schema) if not re.search(rf"(?<!\w){key}(?!\w)", text)}
    assert unexplained == set()


def test_config_yaml_shows_the_defaults() -> None:
    written = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    assert {key: written[key] for key in DEFAULTS} == dict(DEFAULTS)


def test_what_a_run_makes_is_never_committed() -> None:
    probes = ["private/subjects.tsv", "demo/private/hash.key", "results/a", "restored/a", "logs/a", ".venv/a"]
    inside = subprocess.run(["git", "-C", ROOT, "rev-parse", "--is-inside-work-tree"], capture_output=True, check=False)
    if inside.returncode == 0:
        answer = subprocess.run(
            ["git", "-C", ROOT, "check-ignore", *probes], capture_output=True, text=True, check=False
        )
        assert answer.stdout.split() == probes
    else:  # an unpacked archive of the sources: the rules themselves
        rules = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
        assert {"/private/", "/demo/", "/results/", "/restored/", "/logs/", ".venv/"} <= set(rules)
