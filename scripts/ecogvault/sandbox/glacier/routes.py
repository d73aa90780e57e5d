"""Which operation a request is, what it does, and what is answered."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecogvault.sandbox.glacier import jobs, policies, uploads, vaults
from ecogvault.sandbox.glacier.errors import Refused
from ecogvault.sandbox.glacier.state import Record, State


@dataclass
class Request:
    """One request: what the path named, the query, headers (lower-case names), and the body or where it lies."""

    named: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    file: Path | None = None
    length: int = 0
    tree: str = ""

    def document(self) -> Record:
        """The body as JSON. Raises Refused."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused("SerializationException", "The body of the request is not a JSON document")
        return found


@dataclass
class Answer:
    """What is answered: a status, headers, and a JSON document or a job's output."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    document: Record | None = None
    output: jobs.Output | None = None


Operation = Callable[[State, Request], Answer]


def _archive_uploaded(state: State, request: Request) -> Answer:
    assert request.file is not None
    vault = request.named["vault"]
    archive_id = vaults.upload(state, vault, request.headers, request.file, request.length, request.tree)
    return _archive_there(state, vault, archive_id, request.tree)


def _archive_there(state: State, vault: str, archive_id: str, tree: str) -> Answer:
    place = f"/{state.account}/vaults/{vault}/archives/{archive_id}"
    return Answer(201, {"Location": place, "x-amz-archive-id": archive_id, "x-amz-sha256-tree-hash": tree})


def _upload_begun(state: State, request: Request) -> Answer:
    vault = request.named["vault"]
    upload_id = uploads.begin(state, vault, request.headers)
    place = f"/{state.account}/vaults/{vault}/multipart-uploads/{upload_id}"
    return Answer(201, {"Location": place, "x-amz-multipart-upload-id": upload_id})


def _part_put(state: State, request: Request) -> Answer:
    assert request.file is not None
    vault, upload_id = request.named["vault"], request.named["id"]
    uploads.put_part(state, vault, upload_id, request.headers, request.file, request.length, request.tree)
    return Answer(204, {"x-amz-sha256-tree-hash": request.tree})


def _upload_completed(state: State, request: Request) -> Answer:
    vault = request.named["vault"]
    archive_id, tree = uploads.complete(state, vault, request.named["id"], request.headers)
    return _archive_there(state, vault, archive_id, tree)


def _job_begun(state: State, request: Request) -> Answer:
    vault = request.named["vault"]
    job_id = jobs.begin(state, vault, request.document())
    return Answer(202, {"Location": f"/{state.account}/vaults/{vault}/jobs/{job_id}", "x-amz-job-id": job_id})


def _job_output(state: State, request: Request) -> Answer:
    found = jobs.output(state, request.named["vault"], request.named["id"], request.headers.get("range"))
    return Answer(200 if found.whole else 206, found.headers, output=found)


def _vault_created(state: State, request: Request) -> Answer:
    vaults.create(state, request.named["vault"])
    return Answer(201, {"Location": f"/{state.account}/vaults/{request.named['vault']}"})


def _lock_begun(state: State, request: Request) -> Answer:
    lock_id = policies.begin_lock(state, request.named["vault"], request.document())
    return Answer(201, {"x-amz-lock-id": lock_id})


def _shows(show: Callable[[State, Request], Record]) -> Operation:
    return lambda state, request: Answer(200, document=show(state, request))


def _does(act: Callable[[State, Request], Any]) -> Operation:
    def operation(state: State, request: Request) -> Answer:
        act(state, request)
        return Answer()

    return operation


_V = r"/vaults/(?P<vault>[^/]+)"
ROUTES: tuple[tuple[str, str, str, Operation], ...] = (
    ("GET", r"/vaults", "ListVaults", _shows(lambda s, r: vaults.list_all(s, r.query))),
    ("PUT", _V, "CreateVault", _vault_created),
    ("GET", _V, "DescribeVault", _shows(lambda s, r: vaults.described(s, r.named["vault"]))),
    ("DELETE", _V, "DeleteVault", _does(lambda s, r: vaults.delete(s, r.named["vault"]))),
    ("POST", _V + "/archives", "UploadArchive", _archive_uploaded),
    (
        "DELETE",
        _V + "/archives/(?P<id>[^/]+)",
        "DeleteArchive",
        _does(lambda s, r: vaults.delete_archive(s, r.named["vault"], r.named["id"])),
    ),
    ("POST", _V + "/multipart-uploads", "InitiateMultipartUpload", _upload_begun),
    (
        "GET",
        _V + "/multipart-uploads",
        "ListMultipartUploads",
        _shows(lambda s, r: uploads.list_uploads(s, r.named["vault"], r.query)),
    ),
    ("PUT", _V + "/multipart-uploads/(?P<id>[^/]+)", "UploadMultipartPart", _part_put),
    ("POST", _V + "/multipart-uploads/(?P<id>[^/]+)", "CompleteMultipartUpload", _upload_completed),
    (
        "GET",
        _V + "/multipart-uploads/(?P<id>[^/]+)",
        "ListParts",
        _shows(lambda s, r: uploads.list_parts(s, r.named["vault"], r.named["id"], r.query)),
    ),
    (
        "DELETE",
        _V + "/multipart-uploads/(?P<id>[^/]+)",
        "AbortMultipartUpload",
        _does(lambda s, r: uploads.abort(s, r.named["vault"], r.named["id"])),
    ),
    ("POST", _V + "/jobs", "InitiateJob", _job_begun),
    ("GET", _V + "/jobs", "ListJobs", _shows(lambda s, r: jobs.list_all(s, r.named["vault"], r.query))),
    (
        "GET",
        _V + "/jobs/(?P<id>[^/]+)",
        "DescribeJob",
        _shows(lambda s, r: jobs.described(s, r.named["vault"], r.named["id"])),
    ),
    ("GET", _V + "/jobs/(?P<id>[^/]+)/output", "GetJobOutput", _job_output),
    (
        "GET",
        _V + "/access-policy",
        "GetVaultAccessPolicy",
        _shows(lambda s, r: policies.access_of(s, r.named["vault"])),
    ),
    (
        "PUT",
        _V + "/access-policy",
        "SetVaultAccessPolicy",
        _does(lambda s, r: policies.set_access(s, r.named["vault"], r.document())),
    ),
    (
        "DELETE",
        _V + "/access-policy",
        "DeleteVaultAccessPolicy",
        _does(lambda s, r: (s.folder(r.named["vault"]) / "access-policy.json").unlink(missing_ok=True)),
    ),
    ("POST", _V + "/lock-policy", "InitiateVaultLock", _lock_begun),
    ("GET", _V + "/lock-policy", "GetVaultLock", _shows(lambda s, r: policies.shown_lock(s, r.named["vault"]))),
    ("DELETE", _V + "/lock-policy", "AbortVaultLock", _does(lambda s, r: policies.abort_lock(s, r.named["vault"]))),
    (
        "POST",
        _V + "/lock-policy/(?P<id>[^/]+)",
        "CompleteVaultLock",
        _does(lambda s, r: policies.complete_lock(s, r.named["vault"], r.named["id"])),
    ),
    ("GET", _V + "/tags", "ListTagsForVault", _shows(lambda s, r: vaults.tags_of(s, r.named["vault"]))),
    (
        "POST",
        _V + "/tags",
        "ChangeTags",
        _does(lambda s, r: vaults.change_tags(s, r.named["vault"], r.query.get("operation"), r.document())),
    ),
    (
        "GET",
        _V + "/notification-configuration",
        "GetVaultNotifications",
        _shows(lambda s, r: vaults.notifications_of(s, r.named["vault"])),
    ),
    (
        "PUT",
        _V + "/notification-configuration",
        "SetVaultNotifications",
        _does(lambda s, r: vaults.set_notifications(s, r.named["vault"], r.document())),
    ),
    (
        "DELETE",
        _V + "/notification-configuration",
        "DeleteVaultNotifications",
        _does(lambda s, r: (s.folder(r.named["vault"]) / "notifications.json").unlink(missing_ok=True)),
    ),
    (
        "GET",
        "/policies/data-retrieval",
        "GetDataRetrievalPolicy",
        _shows(lambda s, r: policies.retrieval_of(s)),
    ),
    (
        "PUT",
        "/policies/data-retrieval",
        "SetDataRetrievalPolicy",
        _does(lambda s, r: policies.set_retrieval(s, r.document())),
    ),
)
"""Method, pattern of the path behind the account, operation, and what does it."""
