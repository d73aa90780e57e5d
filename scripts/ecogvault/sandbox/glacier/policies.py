"""Who may do what: a vault's access policy, its lock, and the account's limit on retrievals.

Of policies, what laboratories use is understood: statements that deny or allow actions, for `Deny` with the condition
`glacier:ArchiveAgeInDays`. A policy with other conditions is refused. Sources: "Vault Lock Policies", "Amazon Glacier
Access Control with Vault Lock Policies", "Amazon Glacier Data Retrieval Policies".
"""

import json
import operator
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ecogvault.sandbox.glacier.errors import Refused, bad, not_found
from ecogvault.sandbox.glacier.state import Record, State, iso, new_id, read, records, write

DAY = 86400.0
_AGE = "glacier:ArchiveAgeInDays"
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "NumericLessThan": operator.lt,
    "NumericLessThanEquals": operator.le,
    "NumericGreaterThan": operator.gt,
    "NumericGreaterThanEquals": operator.ge,
}


def statements(text: str) -> list[Record]:
    """The statements of a policy document. Raises Refused for one that is not understood."""
    try:
        document = json.loads(text)
        found = document["Statement"]
        found = [found] if isinstance(found, dict) else found
        for one in found:
            if one["Effect"] not in ("Allow", "Deny") or not one["Action"] or not one["Principal"]:
                raise bad("Invalid policy: Effect, Action and Principal are needed")
            for test, values in one.get("Condition", {}).items():
                if test not in _COMPARE or set(values) != {_AGE}:
                    raise bad(f"Invalid policy: this service does not know the condition {test}")
                float(values[_AGE])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise bad("Invalid policy: it is not a policy document") from None
    return list(found)


def require(state: State, vault: str, action: str, *, age_days: float = 0.0) -> None:
    """Raise Refused (AccessDeniedException) if the vault's access policy or lock denies `glacier:{action}`."""
    folder = state.folder(vault)
    texts = [(read(folder / "access-policy.json") or {}).get("Policy"), (lock_of(state, vault) or {}).get("Policy")]
    for text in filter(None, texts):
        for one in statements(str(text)):
            actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
            if one["Effect"] == "Deny" and any(fnmatchcase(f"glacier:{action}", pattern) for pattern in actions):
                tests = one.get("Condition", {}).items()
                if all(_COMPARE[test](age_days, float(values[_AGE])) for test, values in tests):
                    raise Refused(
                        "AccessDeniedException",
                        f"User is not authorized to perform: glacier:{action} on resource: {state.arn(vault)} "
                        "with an explicit deny",
                    )


def set_access(state: State, vault: str, document: Record) -> None:
    """Set the vault's access policy."""
    text = str(document.get("Policy", ""))
    statements(text)
    write(state.folder(vault) / "access-policy.json", {"Policy": text})


def access_of(state: State, vault: str) -> Record:
    """The vault's access policy."""
    found = read(state.folder(vault) / "access-policy.json")
    if found is None:
        raise not_found("No vault access policy is set for this vault: policy")
    return found


# --- the lock ---------------------------------------------------------------------------------------------------------


def lock_of(state: State, vault: str) -> Record | None:
    """The lock's record, unless it was left in progress for more than 24 hours ("Locking a Vault")."""
    found = read(state.folder(vault) / "lock.json")
    if found is None or (found["State"] == "InProgress" and state.now() > found["expires"]):
        return None
    return found


def begin_lock(state: State, vault: str, document: Record) -> str:
    """Put a lock in progress; returns its id. Raises Refused if there is one."""
    text = str(document.get("Policy", ""))
    statements(text)
    if lock_of(state, vault) is not None:
        raise Refused("AccessDeniedException", "The vault lock is in progress or locked already")
    now = state.now()
    lock_id = new_id(32)
    record = {"Policy": text, "State": "InProgress", "created": now, "expires": now + DAY, "id": lock_id}
    write(state.folder(vault) / "lock.json", record)
    return lock_id


def complete_lock(state: State, vault: str, lock_id: str) -> None:
    """Lock for good."""
    found = lock_of(state, vault)
    if found is None or found["id"] != lock_id:
        raise not_found("Lock id")
    write(state.folder(vault) / "lock.json", found | {"State": "Locked"})


def abort_lock(state: State, vault: str) -> None:
    """Take back a lock in progress. Raises Refused for one that is complete."""
    found = lock_of(state, vault)
    if found is not None and found["State"] == "Locked":
        raise Refused("AccessDeniedException", "The vault is locked")
    (state.folder(vault) / "lock.json").unlink(missing_ok=True)


def shown_lock(state: State, vault: str) -> Record:
    """What "Get Vault Lock" answers."""
    found = lock_of(state, vault)
    if found is None:
        raise not_found("No vault lock policy is set for this vault: policy")
    ends = iso(found["expires"]) if found["State"] == "InProgress" else None
    return {
        "Policy": found["Policy"],
        "State": found["State"],
        "CreationDate": iso(found["created"]),
        "ExpirationDate": ends,
    }


# --- how much may be retrieved ----------------------------------------------------------------------------------------

FREE_BYTES = 10 * 1000**3
"""What the free tier gives a month ("Amazon Glacier Data Retrieval Policies")."""


def set_retrieval(state: State, document: Record) -> None:
    """Set the account's retrieval policy: FreeTier, BytesPerHour with a number, or None."""
    rules: Any = (document.get("Policy") or {}).get("Rules")
    rule = rules[0] if isinstance(rules, list) and len(rules) == 1 else {}
    strategy, rate = rule.get("Strategy"), rule.get("BytesPerHour")
    if strategy not in ("BytesPerHour", "FreeTier", "None") or (strategy == "BytesPerHour") != isinstance(rate, int):
        raise bad("Invalid data retrieval policy")
    write(state.root / "retrieval.json", {"Rules": [rule]})


def retrieval_of(state: State) -> Record:
    """The account's retrieval policy; by default there is no limit."""
    return {"Policy": read(state.root / "retrieval.json") or {"Rules": [{"Strategy": "None"}]}}


def require_retrieval(state: State, size: int) -> None:
    """Raise Refused (PolicyEnforcedException) if a Standard retrieval of `size` bytes would exceed the policy."""
    rule = retrieval_of(state)["Policy"]["Rules"][0]
    if rule["Strategy"] == "None":
        return
    per_hour = rule["Strategy"] == "BytesPerHour"
    since = state.now() - (3600 if per_hour else 30 * DAY)
    jobs = [job for folder in sorted((state.root / "vaults").glob("*/jobs")) for job in records(folder)]
    recent = sum(
        job["size"]
        for job in jobs
        if job["Action"] == "ArchiveRetrieval" and job["tier"] == "Standard" and job["created"] > since
    )
    if recent + size > (rule["BytesPerHour"] if per_hour else FREE_BYTES):
        raise Refused("PolicyEnforcedException", "InitiateJob request denied by current data retrieval policy.")
