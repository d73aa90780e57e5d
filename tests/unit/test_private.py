"""The private folder keeps its rules, or is refused with the command that mends it."""

import grp
import multiprocessing
import os
import stat
import subprocess
from pathlib import Path

import pytest

from ecogvault.config import Config, ConfigError, check
from ecogvault.errors import Damaged
from ecogvault.private import Private, PrivateRefused, open_private
from ecogvault.records import write_table


def make_config(folder: Path, **more: object) -> Config:
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(folder / "nas")}
    return check({"private": str(folder / "private"), "destinations": {"nas": nas}, **more})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def git(folder: Path, *words: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, env=environment)


def test_the_folder_and_its_key_are_made_only_when_asked_and_only_for_their_owner(config: Config) -> None:
    with pytest.raises(PrivateRefused, match="ecogvault register"):
        open_private(config)
    assert not config.private.exists()
    private = open_private(config, create=True)
    assert mode_of(private.root) == 0o700
    assert mode_of(private.root / "hash.key") == 0o600
    assert len(private.key) == 32
    assert open_private(config).key == private.key == open_private(config, create=True).key


def test_the_key_does_not_depend_on_the_umask(config: Config) -> None:
    old = os.umask(0)
    try:
        private = open_private(config, create=True)
    finally:
        os.umask(old)
    assert (mode_of(private.root), mode_of(private.root / "hash.key")) == (0o700, 0o600)


def _key_of(folder: str, start: object) -> bytes:
    start.wait()  # type: ignore[attr-defined]
    return open_private(make_config(Path(folder)), create=True).key


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager, context.Pool(8) as pool:
        start = manager.Barrier(8)
        keys = pool.starmap(_key_of, [(str(tmp_path), start)] * 8)
    assert len(set(keys)) == 1
    assert sorted(path.name for path in (tmp_path / "private").iterdir()) == ["hash.key"]


def test_a_lost_key_is_never_replaced_by_another_while_people_are_registered(config: Config) -> None:
    private = open_private(config, create=True)
    write_table(private.root / "subjects.tsv", "subjects", ["code"], [], **private.modes)
    (private.root / "hash.key").unlink()
    with pytest.raises(PrivateRefused, match=r"hash\.key is missing"):
        open_private(config, create=True).private_id("/raw/a")


def test_a_key_of_another_length_is_damaged(config: Config) -> None:
    private = open_private(config, create=True)
    (private.root / "hash.key").write_bytes(b"x" * 31)
    with pytest.raises(Damaged, match="32 bytes"):
        _ = private.key


def test_private_ids_depend_on_the_path_bytes_and_on_the_key(tmp_path: Path) -> None:
    one = open_private(make_config(tmp_path / "1"), create=True)
    two = open_private(make_config(tmp_path / "2"), create=True)
    raw = b"/raw/\xff\xe9"
    assert one.private_id(raw) == one.private_id(os.fsdecode(raw)) == one.private_id(Path(os.fsdecode(raw)))
    assert one.private_id(raw) != one.private_id(b"/raw/\xff")
    assert one.private_id(raw) != two.private_id(raw)
    assert one.private_id(raw)[0] == "i"
    assert len(one.private_id(raw)) == 9
    assert one.keyed_hash(raw, 64).startswith(one.private_id(raw)[1:])


@pytest.mark.parametrize(
    ("name", "mode", "shown"),
    [
        ("raw.tsv", 0o640, "raw.tsv"),
        ("raw.tsv", 0o602, "raw.tsv"),
        ("a1234567/names/a1234567_3_vid.tsv", 0o604, "a1234567/names/a1234567_3_vid.tsv"),
        ("Quellmotz.yaml", 0o644, "a file"),
        ("a1234567/Quellmotz.yaml", 0o644, "something in a1234567"),
    ],
)
def test_a_file_that_others_can_read_is_refused_without_a_name(
    config: Config, name: str, mode: int, shown: str
) -> None:
    private = open_private(config, create=True)
    private.folder(*name.split("/")[:-1])
    path = private.root / name
    path.touch(mode=0o600)
    open_private(config)
    path.chmod(mode)
    with pytest.raises(PrivateRefused) as caught:
        open_private(config)
    message = str(caught.value)
    assert message.startswith(f"{shown} in {private.root} is open to others (mode {mode:04o}, at most 0600 is right)")
    assert "Quellmotz" not in message
    subprocess.run(message.rpartition(": ")[2], shell=True, check=True)
    open_private(config)


@pytest.mark.parametrize("folder", ["", "a1234567"])
def test_a_folder_that_others_can_enter_is_refused(config: Config, folder: str) -> None:
    private = open_private(config, create=True)
    private.folder("a1234567")
    (private.root / folder).chmod(0o711)
    with pytest.raises(PrivateRefused, match="chmod -R go="):
        open_private(config)


def test_a_private_group_may_read_and_nobody_else(tmp_path: Path) -> None:
    group = next(entry for entry in grp.getgrall() if entry.gr_gid != os.getgid() and _may_give(tmp_path, entry.gr_gid))
    config = make_config(tmp_path, private_group=group.gr_name)
    private = open_private(config, create=True)
    private.folder("a1234567", "names")
    write_table(private.root / "raw.tsv", "raw", ["code"], [], **private.modes)
    open_private(config)
    for path, mode in [(".", 0o750), ("a1234567/names", 0o750), ("hash.key", 0o640), ("raw.tsv", 0o640)]:
        assert (mode_of(private.root / path), (private.root / path).stat().st_gid) == (mode, group.gr_gid)
    os.chown(private.root / "raw.tsv", -1, os.getgid())
    with pytest.raises(PrivateRefused, match=f"chgrp -R {group.gr_name} "):
        open_private(config)
    (private.root / "raw.tsv").chmod(0o600)
    open_private(config)
    (private.root / "raw.tsv").chmod(0o644)
    with pytest.raises(PrivateRefused, match="chmod -R g=rX,o= "):
        open_private(config)


def _may_give(folder: Path, gid: int) -> bool:
    probe = folder / "probe"
    probe.touch()
    try:
        os.chown(probe, -1, gid)
    except PermissionError:
        return False
    finally:
        probe.unlink()
    return True


def test_an_unknown_private_group_is_refused_by_the_name_of_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="private_group"):
        open_private(make_config(tmp_path, private_group="no-such-group"), create=True)


def test_in_a_git_work_tree_the_folder_must_be_ignored(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    config = make_config(tmp_path)
    with pytest.raises(PrivateRefused, match="not ignored"):
        open_private(config, create=True)
    assert not config.private.exists()
    (tmp_path / ".gitignore").write_text("private/\n")
    open_private(config, create=True)
    (tmp_path / ".gitignore").write_text("")
    with pytest.raises(PrivateRefused, match=r"add a line `private/` to the \.gitignore"):
        open_private(config)


def test_what_git_tracks_already_is_not_ignored(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("private/\n")
    config = make_config(tmp_path)
    open_private(config, create=True)
    git(tmp_path, "add", "-f", "private/hash.key")
    with pytest.raises(PrivateRefused, match="git rm --cached"):
        open_private(config)


def test_without_git_a_work_tree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrivateRefused, match="git is not installed"):
        open_private(make_config(tmp_path), create=True)


def test_a_repository_that_git_cannot_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(PrivateRefused, match="git cannot say"):
        open_private(make_config(tmp_path), create=True)


def test_the_surroundings_of_a_git_hook_do_not_mislead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
    (tmp_path / "elsewhere" / ".gitignore").write_text("*\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "elsewhere"))
    with pytest.raises(PrivateRefused, match="not ignored"):
        open_private(make_config(tmp_path / "here"), create=True)


def test_two_writers_of_one_table_wait_for_each_other(config: Config) -> None:
    private = open_private(config, create=True)
    from ecogvault.files import Locked

    with private.lock(), pytest.raises(Locked, match=str(os.getpid())), private.lock(wait=False):
        raise AssertionError
    with private.lock(), private.lock("audit", wait=False):
        open_private(config)


def test_the_private_folder_is_no_part_of_its_own_repr(config: Config) -> None:
    assert "key" not in repr(Private(config.private))
