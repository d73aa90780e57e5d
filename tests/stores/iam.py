"""What docs/iam allows, and which operations of a service the code names."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def policy(role: str, effect: str = "Allow") -> set[str]:
    """The actions that a policy allows, or denies."""
    text = json.loads((ROOT / "docs/iam" / f"{role}.json").read_text())
    return {action for one in text["Statement"] if one["Effect"] == effect for action in one["Action"]}


def operations_in_code(operations: Mapping[str, str], modules: str) -> set[str]:
    """Of `operations` (by their Python names), those that the stores' `modules` name where `client` is before a dot."""
    found = set()
    for path in (ROOT / "scripts/ecogvault/stores").glob(modules):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in operations:
                value = node.value
                if (value.id if isinstance(value, ast.Name) else getattr(value, "attr", "")) in ("client", "_client"):
                    found.add(operations[node.attr])
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get_paginator":
                found.add(operations[ast.literal_eval(node.args[0])])
    return found
