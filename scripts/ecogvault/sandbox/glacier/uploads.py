"""Archives that come in parts. Source: "Uploading Large Archives in Parts (Multipart Upload)" and its operations."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from ecogvault.digests import tree_of_leaves
from ecogvault.sandbox.glacier import policies, rules
from ecogvault.sandbox.glacier.errors import bad, missing, not_found
from ecogvault.sandbox.glacier.state import Record, State, iso, new_id, page, read, records, write
from ecogvault.sandbox.glacier.vaults import keep_archive

IDLE_SECONDS = 24 * 3600.0
"""How long an upload id lives without a part ("Uploading Large Archives in Parts", quick facts)."""
AGAIN_SECONDS = 3600.0
"""How long a completed upload may be completed again, with the same archive id: the guide says "a short period"."""


def begin(state: State, vault: str, headers: Mapping[str, str]) -> str:
    """ "Initiate Multipart Upload"; returns the upload's id."""
    policies.require(state, vault, "InitiateMultipartUpload")
    description = rules.description(headers.get("x-amz-archive-description"))
    size = rules.part_size(headers.get("x-amz-part-size"))
    now = state.now()
    upload_id = new_id(92)
    record = {"id": upload_id, "description": description, "part_size": size, "created": now, "touched": now}
    _write(state, vault, record | {"parts": {}, "done": None})
    return upload_id


def put_part(
    state: State, vault: str, upload_id: str, headers: Mapping[str, str], body: Path, length: int, tree: str
) -> None:
    """ "Upload Part"; a part that is sent again replaces the one before. `tree` is that of what was received."""
    policies.require(state, vault, "UploadMultipartPart")
    record = _open(state, vault, upload_id)
    told = rules.digest("x-amz-sha256-tree-hash", headers.get("x-amz-sha256-tree-hash"))
    rules.digest("x-amz-content-sha256", headers.get("x-amz-content-sha256"))
    if length == 0:
        raise bad("Invalid Content-Length: 0")
    start, end = rules.part_range(headers.get("content-range"), record["part_size"], length)
    if told != tree:
        raise bad(f"Checksum mismatch: expected {told} but calculated {tree}")
    folder = state.path_of(vault, "uploads", upload_id)
    folder.mkdir(exist_ok=True)
    body.rename(folder / str(start))
    record["parts"][str(start)] = {"end": end, "tree": tree}
    _write(state, vault, record | {"touched": state.now()})


def complete(state: State, vault: str, upload_id: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """ "Complete Multipart Upload": the archive's id and tree hash; for a short period the same again."""
    policies.require(state, vault, "CompleteMultipartUpload")
    told = rules.digest("x-amz-sha256-tree-hash", headers.get("x-amz-sha256-tree-hash"))
    size = headers.get("x-amz-archive-size")
    if size is None:
        raise missing("x-amz-archive-size")
    record = read(_path(state, vault, upload_id))
    done = record["done"] if record else None
    if record is not None and done is not None and state.now() - done["at"] <= AGAIN_SECONDS:
        if (told, size) != (done["tree"], str(done["size"])):
            raise bad("The archive was completed with another checksum or size")
        return str(done["archive_id"]), told
    record = _open(state, vault, upload_id)
    parts = sorted((int(start), part) for start, part in record["parts"].items())
    position = 0
    for start, part in parts:
        if start != position:
            raise bad(f"Missing content range: bytes {position}-{start - 1}")
        position = part["end"] + 1
    if not parts or str(position) != size:
        raise bad(f"Invalid archive size: {size[:40]}: the parts make {position} bytes")
    # All parts but the last are as long as the part size, a power of two: their roots are nodes of the archive's tree.
    tree = tree_of_leaves([bytes.fromhex(part["tree"]) for _, part in parts]).hex()
    if tree != told:
        raise bad(f"Checksum mismatch: expected {told} but calculated {tree}")
    folder = state.path_of(vault, "uploads", upload_id)
    segments = [(folder / str(start), part["end"] + 1 - start) for start, part in parts]
    archive_id = keep_archive(state, vault, description=record["description"], tree=tree, segments=segments)
    shutil.rmtree(folder)
    done = {"archive_id": archive_id, "tree": tree, "size": position, "at": state.now()}
    _write(state, vault, record | {"parts": {}, "done": done})
    return archive_id, tree


def abort(state: State, vault: str, upload_id: str) -> None:
    """ "Abort Multipart Upload"; of one that is complete or unknown it is refused."""
    policies.require(state, vault, "AbortMultipartUpload")
    _open(state, vault, upload_id)
    _forget(state, vault, upload_id)


def list_parts(state: State, vault: str, upload_id: str, query: Mapping[str, str]) -> Record:
    """ "List Parts", by range."""
    record = _open(state, vault, upload_id)
    parts = [
        {"RangeInBytes": f"{start}-{part['end']}", "SHA256TreeHash": part["tree"]}
        for start, part in sorted((int(start), part) for start, part in record["parts"].items())
    ]
    found, marker = page(parts, query, lambda one: str(one["RangeInBytes"]))
    return {
        "ArchiveDescription": record["description"] or None,
        "CreationDate": iso(record["created"]),
        "Marker": marker,
        "MultipartUploadId": upload_id,
        "PartSizeInBytes": record["part_size"],
        "Parts": found,
        "VaultARN": state.arn(vault),
    }


def list_uploads(state: State, vault: str, query: Mapping[str, str]) -> Record:
    """ "List Multipart Uploads": those in progress."""
    everyone = records(state.folder(vault) / "uploads")
    for one in everyone:
        if _is_old(state, one):
            _forget(state, vault, one["id"])
    found, marker = page(
        [
            {
                "ArchiveDescription": one["description"] or None,
                "CreationDate": iso(one["created"]),
                "MultipartUploadId": one["id"],
                "PartSizeInBytes": one["part_size"],
                "VaultARN": state.arn(vault),
            }
            for one in sorted(everyone, key=lambda one: (one["created"], one["id"]))
            if not one["done"] and not _is_old(state, one)
        ],
        query,
        lambda one: str(one["MultipartUploadId"]),
    )
    return {"Marker": marker, "UploadsList": found}


def forget_all(state: State, vault: str) -> None:
    """What 24 idle hours do, at once."""
    for one in records(state.folder(vault) / "uploads"):
        _forget(state, vault, one["id"])


def _open(state: State, vault: str, upload_id: str) -> Record:
    """An upload in progress. Raises Refused for one that is complete, aborted, forgotten or never was."""
    record = read(_path(state, vault, upload_id))
    if record is not None and _is_old(state, record):
        _forget(state, vault, upload_id)
        record = None
    if record is None or record["done"]:
        raise not_found(f"The upload ID was not found: {upload_id[:92]}: upload")
    return record


def _is_old(state: State, record: Record) -> bool:
    return not record["done"] and state.now() - record["touched"] > IDLE_SECONDS


def _forget(state: State, vault: str, upload_id: str) -> None:
    _path(state, vault, upload_id).unlink(missing_ok=True)
    shutil.rmtree(state.path_of(vault, "uploads", upload_id), ignore_errors=True)


def _path(state: State, vault: str, upload_id: str) -> Path:
    return state.path_of(vault, "uploads", f"{upload_id}.json")


def _write(state: State, vault: str, record: Record) -> None:
    write(_path(state, vault, record["id"]), record)
