"""What a container's own settings mean for what is kept in it, and what interrupted uploads have left there.

Source: Azure Storage REST API, "Get Container Properties" (x-ms-blob-public-access), "Get Blob Service Properties",
"List Blobs" (include=uncommittedblobs).
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from azure.storage.blob import BlobServiceClient, ContainerClient

from ecogvault.stores.azure_client import attempted, explained
from ecogvault.stores.azure_upload import blocks_of
from ecogvault.stores.base import Finding, Unfinished
from ecogvault.stores.errors import Denied, Exposed, NotFound, StoreError


def refuse_public(container: ContainerClient, where: str, *, attempts: int) -> str | None:
    """Raise Exposed if anybody could read the container. Returns why that cannot be told, None when it is private."""
    try:
        with explained(where):
            found = attempted(container.get_container_properties, attempts)
    except Denied as error:
        return str(error)
    if found.public_access:
        raise Exposed(
            f"{where} is open to everybody (public access: {found.public_access}), and nothing is sent there: make it "
            "private (az storage container set-permission --public-access off)"
        )
    return None


def examine(
    container: ContainerClient, service: BlobServiceClient, where: str, may_delete: Callable[[], bool], *, attempts: int
) -> Iterator[Finding]:
    """What is right about the container, and what is not. Raises StoreError when it cannot be reached."""
    yield Finding("ok", "it answers, and these credentials may list it")
    try:
        doubt = refuse_public(container, where, attempts=attempts)
    except Exposed as error:
        yield Finding("refused", str(error))
    else:
        private = Finding("ok", "it is private")
        yield Finding("warning", f"whether it is public cannot be told: {doubt}") if doubt else private
    yield _old_content(service, where, attempts)
    if may_delete():
        yield Finding("warning", "these credentials could delete: a SAS or role without it is safer for uploads")
    else:
        yield Finding("ok", "these credentials cannot delete")


def _old_content(service: BlobServiceClient, where: str, attempts: int) -> Finding:
    try:
        with explained(where):
            kept = attempted(service.get_service_properties, attempts)["delete_retention_policy"]
    except StoreError as error:
        return Finding("warning", f"whether deleted blobs can be brought back cannot be told: {error}")
    if kept is not None and kept.enabled:
        return Finding("ok", f"deleted blobs can be brought back for {kept.days} days")
    return Finding("warning", "deleted blobs are gone at once: switch on soft delete, or versioning, for the account")


def unfinished(container: ContainerClient, where: str, *, attempts: int) -> Iterator[Unfinished]:
    """Keys under which there are blocks and no blob, with the bytes that the service holds. Raises StoreError."""
    with explained(where, needs="list"):
        whole = {one.name for one in container.list_blobs()}
        begun = {
            one.name: one.last_modified
            for one in container.list_blobs(include=["uncommittedblobs"])
            if one.name not in whole
        }
    for key, when in sorted(begun.items()):
        try:
            with explained(where, key):
                _, blocks = attempted(partial(container.get_blob_client(key).get_block_list, "all"), attempts)
        except NotFound:
            continue  # finished or removed meanwhile
        # Without a time, it may be of this moment.
        yield Unfinished(key, blocks_of(key), when or datetime.now(UTC), sum(int(block.size) for block in blocks))
