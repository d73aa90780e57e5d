"""The local Azure server: installed from the lock file, started, ended and started again as the others are."""

import json
import os
import select
import signal
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from ecogvault import cli
from ecogvault.sandbox import azure, servers
from ecogvault.sandbox.processes import SandboxError


def client_of(details):
    return BlobServiceClient.from_connection_string(details["connection_string"], retry_total=1)


def kill(pid):
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)


def listening(pid):
    """The local addresses that the process listens on, as /proc/net/tcp writes them."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile: no socket that listens
            links.append(os.readlink(entry))
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[9] in inodes and row[3] == "0A"}


def test_it_answers_to_its_own_key_on_the_loopback_address_and_keeps_its_data(tmp_path):
    with servers.running(tmp_path, ["azure"]) as services:
        details = services.azure
        assert listening(details["pids"][0]) == {"0100007F"}
        with client_of(details) as client:
            client.create_container("kept").upload_blob("a/b", b"content")
        other = {"connection_string": details["connection_string"].replace("AccountKey=", "AccountKey=AAAA")}
        with pytest.raises(HttpResponseError, match="authenticate"), client_of(other) as stranger:
            list(stranger.list_containers())
        for path in (tmp_path / "sandbox.json", tmp_path / "azure" / "server.json", tmp_path / "azure" / "server.log"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        key = json.loads((tmp_path / "azure" / "server.json").read_text())["key"]
        command = Path(f"/proc/{details['pids'][0]}/cmdline").read_bytes().decode()
        assert key not in command
        assert "--disableTelemetry" in command
        assert servers.up(tmp_path, ["azure"]) == services.details
    assert not servers.are_up(tmp_path, ["azure"])
    with servers.running(tmp_path, ["azure"]) as again:
        assert again.azure["account_url"] == details["account_url"]
        with client_of(details) as client:
            assert client.get_blob_client("kept", "a/b").download_blob().readall() == b"content"
        kill(again.azure["pids"][0])
        assert not servers.are_up(tmp_path, ["azure"])
        replaced = servers.up(tmp_path, ["azure"])
        assert replaced["azure"]["pids"] != again.azure["pids"]
        with client_of(replaced["azure"]) as client:
            assert client.get_blob_client("kept", "a/b").download_blob().readall() == b"content"


def test_without_node_it_is_left_out_with_the_reason_and_refused_when_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [service.name for service in servers.wanted(None)] == ["s3", "glacier"]
    assert "node and npm not installed" in str(azure.lacking())
    with pytest.raises(SandboxError, match="azure cannot run here: node and npm not installed"):
        servers.up(tmp_path / "sandbox", ["azure"])
    assert not (tmp_path / "sandbox").exists()
    assert cli.main(["sandbox", "up", "--dir", str(tmp_path / "sandbox"), "--only", "ftp"]) == 1
    assert "--only knows s3, glacier, azure, and not ftp" in capsys.readouterr().err


def test_an_installation_that_fails_says_so_and_is_tried_again(tmp_path, monkeypatch):
    for name, text in (("npm", "#!/bin/sh\necho no such package >&2\nexit 1\n"), ("node", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(azure, "TOOLS", tmp_path / "tools")
    for _ in range(2):
        with pytest.raises(SandboxError, match="no such package"):
            servers.up(tmp_path / "sandbox", ["azure"])
    assert not (tmp_path / "tools" / "azurite" / "installed.json").exists()
    assert not (tmp_path / "sandbox" / "sandbox.json").exists()
