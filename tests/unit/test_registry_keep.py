"""The registry's own copy: what goes along, when it has another name, how it is kept, and how it comes back."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from archive_lab import flip
from hypothesis import given
from hypothesis import strategies as st

from ecogvault import registry, review
from ecogvault.age import generate, read_identities, write_identity_file
from ecogvault.config import Config, ConfigError, check
from ecogvault.errors import Damaged
from ecogvault.intake import SubjectPlan, accept
from ecogvault.intake.order import Row
from ecogvault.intake.refreshed import note_refreshed
from ecogvault.keys import registry_recipients
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.phi import Waiver, add_waivers
from ecogvault.private import Private, open_private
from ecogvault.records import read_record
from ecogvault.registry_copy import fetch
from ecogvault.registry_copy.contents import snapshot
from ecogvault.registry_copy.digest import digest, record_path
from ecogvault.registry_copy.keep import keep_registry, next_time
from ecogvault.registry_copy.look import look, verify_all
from ecogvault.statement import StatementError, read_signers, statement_sha256
from ecogvault.stores.errors import BucketMissing
from ecogvault.stores.folder import FolderStore
from ecogvault.verify import CopiesAreWrong

DIGEST = "0123456789ab"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A lab with one registered person, one destination and two registry recipients."""
    lines = []
    for name in ("daily", "escrow"):
        key = generate(classic=True)
        write_identity_file(tmp_path / f"{name}.key", key, None)
        lines.append(f"{key.recipient()}\n")
    (tmp_path / "recipients.txt").write_text("".join(lines))
    (tmp_path / "nas").mkdir()
    (tmp_path / "raw").mkdir()
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path / "nas"), "registry": True}
    settings = check(
        {
            "results": str(tmp_path / "results"),
            "private": str(tmp_path / "private"),
            "registry_recipients": str(tmp_path / "recipients.txt"),
            "signers": str(tmp_path / "signers.txt"),
            "destinations": {"nas": nas},
        }
    )
    private = open_private(settings, create=True)
    person = registry.make_person("Quisquam-Exempli", "Nemo", birth_date="1970-01-02")
    registry.register(private, person, tmp_path / "raw", "*", decide_match=lambda path, person: "*")
    return settings


def code_of(private: Private) -> str:
    return registry.load(private)[0].code


def row(code: str, number: int = 1) -> Row:
    start = datetime(2024, 3, number, 9, 10, 11, tzinfo=UTC)
    return Row(Unit(code, number, "edf"), "edf", 1, f"{number}.edf", start, start + timedelta(hours=2))


def keep(config: Config) -> str:
    record = record_path(Paths.of(config), "nas", DIGEST)
    record.parent.mkdir(parents=True, exist_ok=True)
    return keep_registry(config, open_private(config), "nas", DIGEST, record)


def store_of(config: Config) -> FolderStore:
    store = fetch.registry_store(config, config.destinations["nas"])
    assert isinstance(store, FolderStore)
    return store


def bring_back(config: Config, folder: Path, at: str | None = None, key: str = "daily.key") -> int:
    store = store_of(config)
    identities = read_identities(config.private.parent / key)
    return fetch.restore(store, fetch.chosen(store, at), read_signers(config.path("signers")), identities, folder)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- what goes along --------------------------------------------------------------------------------------------------


def test_no_secret_key_and_nothing_unfinished_goes_along_whatever_it_is_called(config: Config, tmp_path: Path) -> None:
    private = open_private(config)
    code = code_of(private)
    key = generate(classic=True)
    write_identity_file(private.root / "notes.txt", key, None)
    write_identity_file(private.folder(code) / "more.tsv", key, b"four made-up words")
    (private.root / "other").write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    (private.root / "passphrase").write_text("four made-up words")
    (private.root / "transfer").mkdir(mode=0o700)
    (private.root / "transfer" / "x.json").write_text("{}")
    (private.root / "audit.jsonl").write_text("{}\n")
    (private.root / "signing.key").write_text("key")
    (private.root / ".registry.lock").touch()
    (private.root / ".subjects.tsv.01234567.part~").touch()
    (private.root / "Å.tsv").touch()
    (private.root / "link").symlink_to(private.root / "raw.tsv")
    (private.root / code / "sessions.tsv").write_text("rows")
    (private.root / code / "names").mkdir()
    (private.root / code / "names" / f"{code}_1_edf.tsv").write_text("names")
    settings = Config({**config.values, "age_passphrase_file": str(private.root / "passphrase")})

    seen = snapshot(settings, private, tmp_path / "picture")
    wanted = {"hash.key", "raw.tsv", "subjects.tsv", f"{code}/sessions.tsv", f"{code}/names/{code}_1_edf.tsv"}
    assert {entry.path for entry in seen.manifest} == wanted == files(tmp_path / "picture")
    assert seen.strange == 6
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "picture").rglob("*")} == {"0o600", "0o700"}


# --- its name in the graph --------------------------------------------------------------------------------------------


def test_accepting_what_a_run_was_planned_with_does_not_change_the_name(config: Config) -> None:
    private = open_private(config)
    paths = Paths.of(config)
    code = code_of(private)
    before = digest(config, private, [SubjectPlan(code)])
    planned = digest(config, private, [SubjectPlan(code, new=(row(code), row(code, 2)))])
    accept(private, paths, code, [row(code), row(code, 2)])
    assert digest(config, private, [SubjectPlan(code)]) == planned != before


def test_every_change_that_a_person_makes_gives_another_name(config: Config, tmp_path: Path) -> None:
    private = open_private(config)
    paths = Paths.of(config)
    code = code_of(private)
    seen = [digest(config, private, [])]

    def changed() -> bool:
        seen.append(digest(config, private, []))
        return len(set(seen)) == len(seen) and seen[-1] == digest(config, private, [])

    subject = registry.subject(private, code)
    registry.tables.save(private, [replace(subject, person=replace(subject.person, other_names=("Nullus",)))])
    assert changed()
    registry.set_status(private, code, "closed")
    assert changed()
    registry.exclude(private, code, 1, ["i01234567"])
    assert changed()
    accept(private, paths, code, [row(code)])
    assert changed()
    note_refreshed(private, paths, Unit(code, 1, "edf"), "0" * 12, "1" * 12)
    assert changed()
    (tmp_path / "more").mkdir()
    registry.register(private, subject.person, tmp_path / "more", "*", code=code, decide_match=lambda path, one: "*")
    assert changed()
    review.accept(private, code, ["a" * 24])
    assert changed()
    review.accept(private, code, ["a" * 24], lab=True)
    assert changed()
    review.redact(private, code, [(Unit(code, 1, "edf"), "b" * 24)])
    assert changed()
    add_waivers(private, code, [Waiver(Unit(code, 1, "edf"), "annotation", "text", "c" * 24, "-", "me", "", "")])
    assert changed()
    (private.root / "hash.key").write_bytes(os.urandom(32))
    assert changed()


def test_names_in_the_graph_do_not_depend_on_when_rows_were_accepted(config: Config) -> None:
    private = open_private(config)
    code = code_of(private)
    early = digest(config, private, [SubjectPlan(code, new=(replace(row(code), accepted="2024-03-01T00:00:00Z"),))])
    assert early == digest(config, private, [SubjectPlan(code, new=(row(code),))])


TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(TIMES, st.none() | TIMES)
def test_a_copy_is_never_named_before_the_newest_whatever_the_clock_says(
    now: datetime, newest: datetime | None
) -> None:
    before = newest.strftime("%Y%m%dT%H%M%SZ") if newest else None
    found = next_time(now, before)
    assert found >= now.strftime("%Y%m%dT%H%M%SZ")
    assert before is None or found > before


# --- keeping it -------------------------------------------------------------------------------------------------------


def test_equal_content_is_sent_once_and_each_change_once_more_in_an_unbroken_chain(
    config: Config, tmp_path: Path
) -> None:
    assert "bytes sent" in keep(config)
    assert "nothing was sent" in keep(config)
    private = open_private(config)
    accept(private, Paths.of(config), code_of(private), [row(code_of(private))])
    assert "bytes sent" in keep(config)
    store = store_of(config)
    newest, first = fetch.copies(store)
    signers = read_signers(config.path("signers"))
    assert [fetch.statement_of(store, one, signers)["generation"] for one in (first, newest)] == [1, 2]
    assert fetch.newest_believed(store, [newest, first], signers) == (
        newest,
        fetch.statement_of(store, newest, signers),
    )
    record = read_record(record_path(Paths.of(config), "nas", DIGEST))
    assert (record["key"], record["size"]) == (newest.key, newest.size)
    assert not list((private.root / "transfer").rglob("*.age"))
    assert not (private.root / "transfer" / "registry" / "nas" / "picture").exists()


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, suffix: str) -> Iterator[None]:
    """Within the block, the process 'dies' when an object whose key ends in `suffix` is to be sent."""
    put = FolderStore.put

    def failing(self: FolderStore, key: str, *words: object, **more: object) -> object:
        if key.endswith(suffix):
            raise KeyboardInterrupt
        return put(self, key, *words, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "put", failing)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("suffix", [".age", ".statement.json"])
def test_an_interrupted_copy_goes_on_as_the_same_one(
    config: Config, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    with dying(monkeypatch, suffix):
        keep(config)
    started = [path.name[:16] for path in (config.private / "transfer/registry/nas").glob("*.age")]
    with pytest.raises((fetch.NoRegistryCopy, BucketMissing)):  # the latter of a folder with nothing in it at all
        fetch.chosen(store_of(config), None)
    keep(config)
    assert [one.at for one in fetch.copies(store_of(config))] == started
    assert fetch.chosen(store_of(config), None).at == started[0]


def test_an_interrupted_copy_of_what_is_no_longer_the_registry_is_not_gone_on_with(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with dying(monkeypatch, ".statement.json"):
        keep(config)
    private = open_private(config)
    accept(private, Paths.of(config), code_of(private), [row(code_of(private))])
    keep(config)
    newest, older = fetch.copies(store_of(config))
    assert (newest.has_statement, older.has_statement) == (True, False)
    with pytest.raises(fetch.NoRegistryCopy, match="interrupted"):
        fetch.chosen(store_of(config), older.at)
    bring_back(config, tmp_path / "back")
    assert f"{code_of(private)}/sessions.tsv" in files(tmp_path / "back")


def test_two_recipients_are_demanded(config: Config, tmp_path: Path) -> None:
    listed = (tmp_path / "recipients.txt").read_text().splitlines()
    (tmp_path / "recipients.txt").write_text(listed[0] + "\n")
    with pytest.raises(ConfigError, match="registry_recipients: .* at least two"):
        registry_recipients(config)
    (tmp_path / "recipients.txt").unlink()
    with pytest.raises(ConfigError, match="registry_recipients: there is no file"):
        keep(config)


def test_in_s3_it_goes_to_the_bucket_for_recordings_and_never_to_an_archive_tier() -> None:
    place = {"type": "s3", "zone": "outside", "form": "files", "region": "us-west-2", "storage_class": "DEEP_ARCHIVE"}
    for bucket, wanted in (("one", "one"), ({"vid": "v", "edf": "e"}, "e"), ({"vid": "v", "sync": "s"}, "v")):
        settings = Config({"destinations": {"s3": {**place, "bucket": bucket}}})
        store = fetch.registry_store(settings, settings.destinations["s3"])
        assert store.where == f"bucket {wanted}"
        assert "DEEP_ARCHIVE" not in repr(vars(store))


# --- looking at it ----------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def seen(config: Config, **more: object) -> tuple[list[str], str]:
    """What verifying says, and the error that it ends with."""
    said: list[str] = []
    try:
        verify_all(Config({**config.values, **more}), say=said.append, again="snakemake verify")
    except CopiesAreWrong as error:
        return said, str(error)
    return said, ""


def kept(config: Config) -> tuple[Path, Path, Path, str]:
    """Have a copy: its tarball, its statement, its record, and its time."""
    keep(config)
    (copy,) = fetch.copies(store_of(config))
    root = store_of(config).root
    tarball, statement = root / copy.key, root / fetch.statement_key(copy.at)
    return tarball, statement, record_path(Paths.of(config), "nas", DIGEST), copy.at


def test_a_copy_that_is_there_is_said_to_be_and_one_without_a_record_is_not_spoken_of(config: Config) -> None:
    assert seen(config) == (["nas: 0 copies listed"], "")
    *_, record, at = kept(config)
    assert seen(config) == (["nas: 0 copies listed", f"nas: the registry's copy of {at} is listed"], "")
    for more in ({"rehash_gib": 0.001}, {"verify_hours": 1}):
        assert seen(config, **more)[0][1] == f"nas: the registry's copy of {at} is listed, read back and right"
    for more in ({"unit": f"{code_of(open_private(config))}_1_edf"}, {"kind": "edf"}, {"from": "elsewhere"}):
        assert look(Config({**config.values, **more}), say=pytest.fail) == []
    assert record.exists()


@pytest.mark.parametrize(
    ("which", "harm", "reading", "kind"),
    [
        (0, Path.unlink, {}, "missing"),
        (1, Path.unlink, {}, "missing"),
        (0, truncate, {}, "wrong"),
        (0, flip, {"rehash_gib": 0.001}, "wrong"),
        (0, flip, {"verify_hours": 1}, "wrong"),
        (1, flip, {"rehash_gib": 0.001}, "wrong"),
    ],
)
def test_a_copy_that_is_missing_or_wrong_fails_is_named_and_made_again(
    config: Config, tmp_path: Path, which: int, harm: Callable[[Path], None], reading: dict[str, float], kind: str
) -> None:
    *both, record, at = kept(config)
    harm(both[which])
    said, error = seen(config, **reading)
    key = both[which].relative_to(store_of(config).root)
    assert said[1] == f"nas: the registry's copy of {at}: {key} is {kind}: the next `snakemake` sends it again"
    assert error == "not all is well with the registry's copy at nas: see the lines above"
    assert not record.exists()

    assert "bytes sent" in keep(config)
    assert seen(config, rehash_gib=0.001)[1] == ""
    assert bring_back(config, tmp_path / "back") == 3


def test_damage_that_keeps_the_size_is_found_by_reading_alone(config: Config) -> None:
    tarball, _, record, at = kept(config)
    flip(tarball)
    assert seen(config) == (["nas: 0 copies listed", f"nas: the registry's copy of {at} is listed"], "")
    assert record.exists()


def test_a_destination_that_does_not_answer_says_nothing_about_its_copy(config: Config) -> None:
    *_, record, at = kept(config)
    nas = store_of(config).root
    nas.rename(nas.with_name("away"))
    said, error = seen(config, rehash_gib=0.001)
    assert said[1].startswith(f"nas: could not be asked for the registry's copy of {at}: ")
    assert "does not exist: mount it" in said[1]
    assert "the registry's copy at nas" in error
    assert record.exists()
    nas.with_name("away").rename(nas)
    assert seen(config)[1] == ""


def test_a_units_copy_and_the_registrys_are_both_looked_at_before_it_fails(config: Config) -> None:
    tarball, *_ = kept(config)
    tarball.unlink()
    ledger = Paths.of(config).ledger("nas", Unit(code_of(open_private(config)), 1, "edf"))
    ledger.parent.mkdir(parents=True)
    ledger.write_text("no ledger\n")
    said, error = seen(config)
    assert [line.partition(":")[0] for line in said] == ["nas", "nas"]
    assert "1 wrong" in said[0]
    assert "is missing" in said[1]
    assert error.startswith("not all is well at nas: ")
    assert error.endswith("; not all is well with the registry's copy at nas: see the lines above")


def test_a_record_that_was_damaged_is_removed_and_said(config: Config) -> None:
    *_, record, _ = kept(config)
    flip(record)
    said, error = seen(config)
    assert "the record of the registry's copy was damaged and is removed" in said[1]
    assert error
    assert not record.exists()
    assert "nothing was sent" in keep(config)


@pytest.mark.parametrize("harm", [flip, truncate])
def test_a_damaged_tarball_beside_a_good_statement_is_not_taken_for_a_copy(
    config: Config, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    tarball, _, record, at = kept(config)
    harm(tarball)
    record.unlink()
    assert f"{fetch.tarball_key(at)} there is not what its statement says; 3 files, " in keep(config)
    store = store_of(config)
    newest, older = fetch.copies(store)
    assert older.at == at
    signers = read_signers(config.path("signers"))
    first, second = (fetch.statement_of(store, one, signers) for one in (older, newest))
    assert (second["generation"], second["previous"]) == (2, statement_sha256(first))
    assert bring_back(config, tmp_path / "back") == 3
    assert "nothing was sent" in keep(config)


# --- bringing it back -------------------------------------------------------------------------------------------------


def test_it_comes_back_as_it_was_with_either_key_and_an_older_one_when_asked_for(
    config: Config, tmp_path: Path
) -> None:
    keep(config)
    private = open_private(config)
    first = {name: (private.root / name).read_bytes() for name in ("subjects.tsv", "raw.tsv", "hash.key")}
    accept(private, Paths.of(config), code_of(private), [row(code_of(private))])
    keep(config)
    oldest = fetch.copies(store_of(config))[-1].at
    assert bring_back(config, tmp_path / "old", at=oldest) == 3
    assert {name: (tmp_path / "old" / name).read_bytes() for name in files(tmp_path / "old")} == first
    (tmp_path / "new").mkdir()
    assert bring_back(config, tmp_path / "new", key="escrow.key") == 4
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*") if path.is_file()} == {0o600}
    with pytest.raises(fetch.NotEmpty):
        bring_back(config, tmp_path / "new")
    with pytest.raises(fetch.NoRegistryCopy, match="--list"):
        bring_back(config, tmp_path / "none", at="20000101T000000Z")


def test_a_damaged_exchanged_or_foreign_copy_is_refused_and_leaves_nothing(config: Config, tmp_path: Path) -> None:
    keep(config)
    private = open_private(config)
    accept(private, Paths.of(config), code_of(private), [row(code_of(private))])
    keep(config)
    newest, first = fetch.copies(store_of(config))
    place = tmp_path / "nas"
    genuine = (place / newest.key).read_bytes()

    (place / newest.key).write_bytes((place / first.key).read_bytes())
    with pytest.raises(Damaged, match="not the object"):
        bring_back(config, tmp_path / "back")
    (place / newest.key).write_bytes(genuine[:-1] + bytes([genuine[-1] ^ 1]))
    with pytest.raises(Damaged, match="not the object"):
        bring_back(config, tmp_path / "back")
    (place / newest.key).write_bytes(genuine)
    config.path("signers").write_text("0" * 64 + "\n")
    with pytest.raises(StatementError, match="not in signers"):
        bring_back(config, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".back*"))


def test_a_folder_that_is_empty_though_copies_went_there_is_one_that_is_not_mounted(config: Config) -> None:
    keep(config)
    nas = store_of(config).root
    for path in sorted(nas.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(BucketMissing, match="is empty, though copies were put there"):
        keep(config)
    assert list(nas.iterdir()) == []
