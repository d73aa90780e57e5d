"""Jobs: retrieving an archive or an inventory takes hours. Sources: "Initiate Job", "Describe Job", "List Jobs",
"Get Job Output", and for how long each tier takes, "Archive Retrieval Options".
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ecogvault.digests import TreeHash
from ecogvault.sandbox.glacier import policies, rules, vaults
from ecogvault.sandbox.glacier.errors import bad, missing, not_found
from ecogvault.sandbox.glacier.state import Record, Segments, State, iso, new_id, page, read, records, write

HOURS = {"Expedited": 5 / 60, "Standard": 4.0, "Bulk": 9.0}
"""How long a job takes here: within 1 to 5 minutes, 3 to 5 hours, 5 to 12 hours."""
KEPT_SECONDS = 24 * 3600.0
"""How long a job's output can be had after the job completed: at least 24 hours, here no longer."""


@dataclass(frozen=True)
class Output:
    """A job's output, or the range of it that was asked for."""

    pieces: Iterator[bytes]
    length: int
    headers: dict[str, str]
    whole: bool


def begin(state: State, vault: str, asked: Record) -> str:
    """ "Initiate Job (POST jobs)"; returns the job's id."""
    policies.require(state, vault, "InitiateJob")
    kind = asked.get("Type")
    known = {"Type", "ArchiveId", "Description", "Format", "RetrievalByteRange", "SNSTopic", "Tier"}
    if kind is None:
        raise missing("Type")
    if strange := set(asked) - known - {"InventoryRetrievalParameters"}:
        raise bad(f"Invalid job parameters: {', '.join(sorted(strange))}")
    rules.description(asked.get("Description"))
    tier = asked.get("Tier") or "Standard"
    if tier not in HOURS:
        raise bad(f"Invalid tier: {tier}")
    now = state.now()
    job: Record = {
        "id": new_id(92),
        "created": now,
        "tier": tier,
        "completes": now + HOURS[tier] * 3600,
        "description": asked.get("Description"),
        "topic": asked.get("SNSTopic"),
    }
    if kind == "archive-retrieval":
        job |= _archive_job(state, vault, asked, tier)
    elif kind == "inventory-retrieval":
        job |= _inventory_job(state, vault, asked)
    else:
        raise bad(f"Invalid job type: {kind}")
    write(state.path_of(vault, "jobs", f"{job['id']}.json"), job)
    return str(job["id"])


def _archive_job(state: State, vault: str, asked: Record, tier: str) -> Record:
    if "ArchiveId" not in asked:
        raise missing("ArchiveId")
    if "Format" in asked or "InventoryRetrievalParameters" in asked:
        raise bad("Format and InventoryRetrievalParameters are for inventory-retrieval jobs only")
    archive = vaults.archive_of(state, vault, str(asked["ArchiveId"]))
    start, end = rules.retrieval_range(asked.get("RetrievalByteRange"), archive["size"])
    if tier == "Standard":  # the policy holds for this tier alone
        policies.require_retrieval(state, end + 1 - start)
    return {
        "Action": "ArchiveRetrieval",
        "archive": archive["id"],
        "start": start,
        "end": end,
        "size": end + 1 - start,
        "ranged": "RetrievalByteRange" in asked,
    }


def _inventory_job(state: State, vault: str, asked: Record) -> Record:
    if "ArchiveId" in asked or "RetrievalByteRange" in asked:
        raise bad("ArchiveId and RetrievalByteRange are for archive-retrieval jobs only")
    form = asked.get("Format") or "JSON"
    if form not in ("JSON", "CSV"):
        raise bad(f"Invalid format: {form}")
    archives = records(state.folder(vault) / "archives")
    date = vaults.inventory_date(archives, state.now())
    if date is None:
        raise not_found(f"No inventory of {state.arn(vault)} was made yet: inventory")
    ranged: Record = asked.get("InventoryRetrievalParameters") or {}
    found = vaults.listed(archives, date)
    begins, ends = (_seconds(ranged.get(name)) for name in ("StartDate", "EndDate"))
    found = [one for one in found if (begins or 0) <= one["created"] and (ends is None or one["created"] < ends)]
    marker, limit = ranged.get("Marker"), ranged.get("Limit")
    if marker:
        ids = [one["id"] for one in found]
        if marker not in ids:
            raise bad("Invalid inventory marker")
        found = found[ids.index(marker) :]
    rest = None
    if limit is not None:
        if not str(limit).isdigit() or int(limit) < 1:
            raise bad(f"Invalid limit: {limit}")
        rest = found[int(limit)]["id"] if len(found) > int(limit) else None
        found = found[: int(limit)]
    shown = {name: ranged.get(name) for name in ("StartDate", "EndDate", "Limit")} | {"Format": form, "Marker": rest}
    return {"Action": "InventoryRetrieval", "format": form, "parameters": shown} | {
        "text": _inventory(state, vault, date, found, form)
    }


def _inventory(state: State, vault: str, date: float, archives: list[Record], form: str) -> str:
    """The output of an inventory job ("Get Job Output", "Response Body")."""
    rows = [
        {
            "ArchiveId": one["id"],
            "ArchiveDescription": one["description"],
            "CreationDate": iso(one["created"])[:-5] + "Z",
            "Size": one["size"],
            "SHA256TreeHash": one["tree"],
        }
        for one in archives
    ]
    if form == "JSON":
        head = {"VaultARN": state.arn(vault), "InventoryDate": iso(date)[:-5] + "Z", "ArchiveList": rows}
        return json.dumps(head, separators=(",", ":"))
    text = io.StringIO()
    names = ["ArchiveId", "ArchiveDescription", "CreationDate", "Size", "SHA256TreeHash"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _seconds(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        raise bad(f"Invalid date: {text}") from None


def described(state: State, vault: str, job_id: str) -> Record:
    """ "Describe Job (GET JobID)"."""
    return _shown(state, vault, _job(state, vault, job_id))


def list_all(state: State, vault: str, query: Mapping[str, str]) -> Record:
    """ "List Jobs (GET jobs)", the newest first, without those that have expired."""
    wanted = query.get("statuscode")
    if wanted not in (None, "InProgress", "Succeeded", "Failed"):
        raise bad(f"Invalid statuscode: {wanted}")
    found = [job for job in records(state.folder(vault) / "jobs") if not _is_expired(state, job)]
    shown = [_shown(state, vault, job) for job in sorted(found, key=lambda job: (-job["created"], job["id"]))]
    completed = query.get("completed")
    shown = [
        job
        for job in shown
        if wanted in (None, job["StatusCode"]) and completed in (None, str(job["Completed"]).lower())
    ]
    some, marker = page(shown, query, lambda job: str(job["JobId"]))
    return {"JobList": some, "Marker": marker}


def _shown(state: State, vault: str, job: Record) -> Record:
    done = state.now() >= job["completes"]
    fields: Record = {
        "Action": job["Action"],
        "Completed": done,
        "CompletionDate": iso(job["completes"]) if done else None,
        "CreationDate": iso(job["created"]),
        "JobDescription": job["description"],
        "JobId": job["id"],
        "SNSTopic": job["topic"],
        "StatusCode": "Succeeded" if done else "InProgress",
        "StatusMessage": "Succeeded" if done else None,
        "VaultARN": state.arn(vault),
        "ArchiveId": None,
        "ArchiveSHA256TreeHash": None,
        "ArchiveSizeInBytes": None,
        "InventoryRetrievalParameters": None,
        "InventorySizeInBytes": None,
        "RetrievalByteRange": None,
        "SHA256TreeHash": None,
        "Tier": None,
    }
    if job["Action"] == "InventoryRetrieval":
        size = len(job["text"].encode()) if done else None
        return fields | {"InventoryRetrievalParameters": job["parameters"], "InventorySizeInBytes": size}
    archive = read(state.path_of(vault, "archives", f"{job['archive']}.json")) or {}
    aligned = rules.is_tree_hash_aligned(job["start"], job["end"], archive["size"])
    return fields | {
        "ArchiveId": job["archive"],
        "ArchiveSHA256TreeHash": archive["tree"],
        "ArchiveSizeInBytes": archive["size"],
        "RetrievalByteRange": f"{job['start']}-{job['end']}",
        "SHA256TreeHash": _tree(state, vault, archive, job["start"], job["end"]) if aligned and done else None,
        "Tier": job["tier"],
    }


def output(state: State, vault: str, job_id: str, wanted: str | None) -> Output:
    """ "Get Job Output (GET output)", whole or a range of it."""
    policies.require(state, vault, "GetJobOutput")
    job = _job(state, vault, job_id)
    if state.now() < job["completes"]:
        raise bad(f"The job is not currently available for download: {job_id[:92]}")
    if job["Action"] == "InventoryRetrieval":
        data = job["text"].encode()
        start, end = rules.output_range(wanted, len(data))
        kind = "application/json" if job["format"] == "JSON" else "text/csv"
        return _ranged(iter([data[start : end + 1]]), start, end, len(data), wanted, {"Content-Type": kind})
    archive = read(state.path_of(vault, "archives", f"{job['archive']}.json")) or {}
    start, end = rules.output_range(wanted, job["size"])
    first, last = job["start"] + start, job["start"] + end
    headers = {"Content-Type": "application/octet-stream"}
    if archive["description"]:
        headers["x-amz-archive-description"] = archive["description"]
    # Both the range retrieved and the range downloaded must be aligned for a checksum to be sent.
    retrieved = rules.is_tree_hash_aligned(job["start"], job["end"], archive["size"])
    if retrieved and rules.is_tree_hash_aligned(first, last, archive["size"]):
        headers["x-amz-sha256-tree-hash"] = _tree(state, vault, archive, first, last)
    pieces = _archive_pieces(state, vault, archive, first, last)
    return _ranged(pieces, start, end, job["size"], wanted, headers)


def _ranged(
    pieces: Iterator[bytes], start: int, end: int, total: int, wanted: str | None, headers: dict[str, str]
) -> Output:
    headers["Accept-Ranges"] = "bytes"
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end}/{total}"
    return Output(pieces, end + 1 - start, headers, wanted is None)


def _archive_pieces(state: State, vault: str, archive: Record, start: int, end: int) -> Iterator[bytes]:
    folder = state.path_of(vault, "archives", archive["id"])
    return Segments(folder, [(name, size) for name, size in archive["segments"]]).pieces(start, end)


def _tree(state: State, vault: str, archive: Record, start: int, end: int) -> str:
    """The tree hash of an aligned range, as it was when the archive came: damage on disk does not change it."""
    if (start, end) == (0, archive["size"] - 1):
        return str(archive["tree"])
    tree = TreeHash()
    for piece in _archive_pieces(state, vault, archive, start, end):
        tree.update(piece)
    return tree.hexdigest()


def _job(state: State, vault: str, job_id: str) -> Record:
    found = read(state.path_of(vault, "jobs", f"{job_id}.json"))
    if found is None or _is_expired(state, found):
        raise not_found(f"The job ID was not found: {job_id[:92]}: job")
    return found


def _is_expired(state: State, job: Record) -> bool:
    return state.now() > float(job["completes"]) + KEPT_SECONDS


def lose_all(state: State, vault: str) -> None:
    """The service forgets all jobs of a vault."""
    for path in (state.folder(vault) / "jobs").glob("*.json"):
        path.unlink()
