"""What happens to each field of a header: a declarative policy, one verb a field, in YAML.

`config/policies/` holds those that come with the project, `config/policy.schema.yaml` says what a policy may say.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ecogvault.config import SCHEMA, explain
from ecogvault.errors import EcogvaultError
from ecogvault.records import canonical

SHIPPED = SCHEMA.parent / "policies"
POLICY_SCHEMA = SCHEMA.parent / "policy.schema.yaml"
DEFAULT = "lab"

KEEP, BLANK, REPLACE, CODE, SHIFT = "KEEP", "BLANK", "REPLACE", "CODE", "SHIFT"
VERBS = (KEEP, BLANK, REPLACE, CODE, SHIFT)
FIELDS = frozenset(
    """
    patient.code patient.sex patient.birthdate patient.name patient.additional recording.startdate
    recording.administration recording.technician recording.equipment recording.additional startdate starttime
    reserved signals.label signals.transducer signals.prefilter signals.reserved
    """.split()
)
DATE_FIELDS = ("patient.birthdate", "recording.startdate", "startdate")

_DIGEST_DIGITS = 12


class PolicyError(EcogvaultError):
    """A policy that is not there or says what no policy may; the message names its file and the field."""


@dataclass(frozen=True)
class Rule:
    """What happens to one field: the verb, and what REPLACE writes or the pattern that KEEP demands."""

    verb: str
    text: str = ""

    def keeps(self, text: str) -> bool:
        """Whether `text` stays as it is."""
        return self.verb == KEEP and (not self.text or re.fullmatch(self.text, text) is not None)


@dataclass(frozen=True)
class Policy:
    """A policy by its name, with the rule of each field (`patient.sex`, `startdate`, `signals.label`).

    `digest` tells policies apart by what they say: a new comment leaves it as it is.
    """

    name: str
    digest: str
    rules: Mapping[str, Rule] = field(repr=False)

    def __getitem__(self, name: str) -> Rule:
        return self.rules[name]

    def require_shifts(self) -> None:
        """Raise PolicyError if a date stays as it is whatever a shift says."""
        for name in DATE_FIELDS:
            if self[name].verb == KEEP:
                raise PolicyError(
                    f"policy {self.name} keeps {name} as it is, but dates are to be shifted: make it SHIFT or BLANK"
                )


@cache
def shipped(name: str = DEFAULT) -> Policy:
    """A policy that comes with the project. Raises PolicyError."""
    return read_policy(name)


def policy_path(policy: str) -> Path:
    """The file of a policy: one of those that come with the project by its name, any other by its path."""
    return Path(policy) if "/" in policy or policy.endswith((".yaml", ".yml")) else SHIPPED / f"{policy}.yaml"


def read_policy(policy: str, *, check: bool = False) -> Policy:
    """Read a policy by its name or path. With `check`, compare it with the schema first, which loads jsonschema.

    Raises PolicyError.
    """
    path = policy_path(policy)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = " or ".join(sorted(one.stem for one in SHIPPED.glob("*.yaml")))
        raise PolicyError(f"policy: there is no policy '{policy}': name {known}, or a file's path") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise PolicyError(f"policy: {path} is not readable as YAML: check indentation and colons there") from None
    if check:
        _compare(values, path)
    try:
        rules = dict(_rules(values))
    except (AttributeError, TypeError):
        rules = {}
    if rules.keys() != FIELDS or not all(rule.verb in VERBS for rule in rules.values()):
        raise PolicyError(f"policy: {path} is no policy: see config/policy.schema.yaml")
    for name, rule in rules.items():
        _compile(rule, name, path)
    return Policy(path.stem, hashlib.sha256(canonical(values)).hexdigest()[:_DIGEST_DIGITS], rules)


def _compare(values: Any, path: Path) -> None:
    import jsonschema  # 0.15 s that only those who check need to spend

    schema = yaml.safe_load(POLICY_SCHEMA.read_text(encoding="utf-8"))
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(values),
        key=lambda error: [str(part) for part in error.absolute_path],
    )
    if errors:
        raise PolicyError(f"policy {path}: {explain(errors[0], 'the policy')}")


def _rules(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Rule]]:
    for name, value in values.items():
        if isinstance(value, str):
            yield prefix + name, Rule(value)
        elif len(value) == 1 and (verb := next(iter(value))) in (KEEP, REPLACE):
            yield prefix + name, Rule(verb, str(value[verb]))
        else:
            yield from _rules(value, f"{prefix}{name}.")


def _compile(rule: Rule, name: str, path: Path) -> None:
    if rule.verb == KEEP:
        try:
            re.compile(rule.text)
        except re.error as error:
            raise PolicyError(f"policy {path}: {name}.KEEP is no regular expression: {error}") from None
