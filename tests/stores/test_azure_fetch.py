"""`ecogvault fetch`: a pasted address in, a whole file out; the address is never seen again."""

import fcntl
import hashlib
import io
import os
import stat
from urllib.parse import quote

import pytest
from azure.storage.blob import ContentSettings, StandardBlobTier
from content import pattern
from places import Account, Container
from test_azure import sas
from test_s3 import proxied

from ecogvault import cli
from ecogvault.cli import fetch as verb
from ecogvault.files import Locked
from ecogvault.stores.azure_fetch import fetch
from ecogvault.stores.azure_read import WINDOW
from ecogvault.stores.errors import Archived, BadSettings, KeyTaken, NotFound, Unreachable, WrongBytes
from ecogvault.stores.pieces import MIB

DATA = pattern(21 * MIB)
NAME = "Blorptwill, Jexamine/old ü.tar"  # as people named things before


@pytest.fixture
def container(account: Account) -> Container:
    return Container(account, account.container())


def address(container: Container, key: str = NAME, endpoint: str | None = None, permission: str = "r") -> str:
    base = container.account.account_url
    if endpoint:
        base = f"{endpoint}/{base.rpartition('/')[2]}"
    return f"{base}/{container.name}/{quote(key)}?{sas(container, permission)}"


def plant(container: Container, data: bytes = DATA, *, md5: bytes | None = None) -> None:
    settings = ContentSettings(content_md5=bytearray(md5 or hashlib.md5(data).digest()))
    blob = container.client.get_blob_client(NAME)
    blob.stage_block("1", data)
    blob.commit_block_list(["1"], content_settings=settings)


def half(container: Container, target, **rest) -> int:
    """A fetch that is cut in the middle; how much it has left."""
    seen: list[int] = []

    def stop(there: int, size: int) -> None:
        seen.append(there)
        if there >= 2 * WINDOW:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(address(container), target, progress=stop, **rest)
    assert not target.exists()
    return seen[-1]


def test_a_pasted_address_becomes_a_file_and_is_seen_nowhere(container, tmp_path, monkeypatch, capsys):
    plant(container)
    monkeypatch.chdir(tmp_path)
    url = address(container)
    monkeypatch.setattr("sys.stdin", io.StringIO(f'"{url}"\n'))
    assert cli.main(["fetch", "-o", "df5c5206_old.tar"]) == 0
    assert (tmp_path / "df5c5206_old.tar").read_bytes() == DATA
    assert stat.S_IMODE((tmp_path / "df5c5206_old.tar").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["df5c5206_old.tar"]
    said = capsys.readouterr()
    assert said.out == f"df5c5206_old.tar: {len(DATA)} bytes; the MD5 that Azure keeps is right\n"
    assert said.err == ""


def test_an_interrupted_fetch_goes_on_where_it_was_also_with_another_sas(container, tmp_path):
    plant(container)
    there = half(container, tmp_path / "f")
    fetched = fetch(address(container, permission="rl"), tmp_path / "f")  # another signature, the same blob
    assert (fetched.kept, fetched.size) == (there, len(DATA))
    assert (tmp_path / "f").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_blob_that_was_replaced_meanwhile_is_fetched_from_its_beginning(container, tmp_path):
    plant(container)
    half(container, tmp_path / "f")
    other = pattern(len(DATA), seed=3)
    plant(container, other)
    assert fetch(address(container), tmp_path / "f").kept == 0
    assert (tmp_path / "f").read_bytes() == other
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_a_damaged_partial_file_would_become_is_refused_and_the_next_fetch_is_right(container, tmp_path):
    plant(container)
    half(container, tmp_path / "f")
    (partial,) = tmp_path.iterdir()
    with partial.open("r+b") as stream:
        stream.write(b"damage")
    with pytest.raises(WrongBytes, match="MD5"):
        fetch(address(container), tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
    assert fetch(address(container), tmp_path / "f").size == len(DATA)


def test_without_an_md5_at_azure_what_may_not_have_reached_the_disk_is_fetched_again(container, tmp_path):
    blob = container.client.get_blob_client(NAME)
    blob.stage_block("1", DATA)
    blob.commit_block_list(["1"])
    half(container, tmp_path / "f")
    fetched = fetch(address(container), tmp_path / "f")
    assert (fetched.kept, fetched.md5) == (0, None)
    assert (tmp_path / "f").read_bytes() == DATA


def test_broken_connections_are_taken_up_where_they_broke(container, tmp_path):
    plant(container)
    with proxied(container.account.account_url.rpartition("/")[0]) as proxy:
        proxy.cut_answers_after = [3 * MIB, 300_000]
        fetch(address(container, endpoint=proxy.endpoint_url), tmp_path / "f")
        assert proxy.cuts == 2
    assert (tmp_path / "f").read_bytes() == DATA


def test_an_empty_blob_is_an_empty_file(container, tmp_path):
    container.plant(NAME, b"")
    assert fetch(address(container), tmp_path / "f").size == 0
    assert (tmp_path / "f").read_bytes() == b""


def test_nothing_is_overwritten_and_two_do_not_write_one_file(container, tmp_path):
    plant(container)
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(KeyTaken, match="never overwritten"):
        fetch(address(container), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"mine"
    half(container, tmp_path / "g")
    (partial,) = (path for path in tmp_path.iterdir() if path.name != "f")
    with partial.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(Locked, match="another process"):
            fetch(address(container), tmp_path / "g")


def refusals(container: Container, case: str) -> tuple[str, type[Exception], str]:
    if case == "no such blob":
        return address(container, "none"), NotFound, "the blob in its container does not exist"
    if case == "archived":
        container.client.upload_blob(NAME, b"x", standard_blob_tier=StandardBlobTier.ARCHIVE)
        return address(container), Archived, "the blob in its container is in the Archive tier"
    if case == "no blob in it":
        return f"https://lab.blob.core.windows.net/?{sas(container, 'r')}", BadSettings, "not that of a blob"
    if case == "an open line":
        return "http://lab.blob.core.windows.net/c/k?sig=x", BadSettings, "must begin with https://"
    return f"http://127.0.0.1:9/a/c/k?{sas(container, 'r')}", Unreachable, "cannot be reached"


@pytest.mark.parametrize("case", ["no such blob", "archived", "no blob in it", "an open line", "nobody there"])
def test_what_cannot_be_fetched_is_one_line_without_address_and_name(container, tmp_path, monkeypatch, capsys, case):
    url, kind, says = refusals(container, case)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=says):
        fetch(url, tmp_path / "f", attempts=2)
    if case != "nobody there":
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{url}\n"))
        assert cli.main(["fetch", "-o", "f"]) == 1
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert says in said.err
        for secret in ("sig=", "Blorptwill", "127.0.0.1"):
            assert secret not in said.err + said.out
    assert list(tmp_path.iterdir()) == []


def test_without_an_address_nothing_is_asked_of_anybody(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert cli.main(["fetch", "-o", "f"]) == 1
    assert "no address was given" in capsys.readouterr().err
    assert cli.main(["fetch", "https://lab.blob.core.windows.net/c/k?sig=s3cr3t", "-o", "f"]) == 2
    assert "s3cr3t" not in capsys.readouterr().err


def test_at_a_terminal_the_address_is_asked_for_unseen(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(verb.getpass, "getpass", lambda prompt: " 'https://lab.invalid/c/k?sig=x' ")
    assert verb.read_address() == "https://lab.invalid/c/k?sig=x"
