"""Every destination, kind and form: unit, file and subject come back byte for byte, or not at all under their names."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from everywhere import KINDS, PLACES, VAULT, Everywhere, everywhere

from ecogvault.errors import EcogvaultError
from ecogvault.naming import Unit
from ecogvault.retrieve import restore_asked
from faults import FAULTS, faulty
from vaults import HOUR

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("everywhere")]

SEED = 11


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everywhere]:
    with everywhere(tmp_path_factory.mktemp("everywhere") / "e") as made:
        yield made


def asked_name(path: str) -> str:
    """How a person names a file: `vid/df5c5206_1/...` is known by its session's folder alone."""
    return path.removeprefix("vid/")


def demand_clear(error: EcogvaultError) -> None:
    """A refusal is one line."""
    assert "\n" not in str(error)


# --- whole, in part, all of a person ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_a_file_a_unit_and_a_subject_come_back_byte_for_byte(archive: Everywhere, tmp_path: Path, name: str) -> None:
    assert set(archive.units) == set(KINDS)
    config = archive.settings(tmp_path / "units")
    for unit in archive.units.values():
        path = max(archive.wanted[unit])
        assert archive.restore(config, name, file=asked_name(path)) == [unit]
        assert archive.there(tmp_path / "units", name, unit) == {path: archive.wanted[unit][path]}
        assert archive.restore(config, name, unit=str(unit)) == [unit]
        archive.demand_whole(tmp_path / "units", name, unit)
    whole = archive.settings(tmp_path / "subject")
    assert sorted(archive.restore(whole, name, subject=archive.lab.code())) == sorted(archive.units.values())
    for unit in archive.units.values():
        archive.demand_whole(tmp_path / "subject", name, unit)
    kind = archive.settings(tmp_path / "kind")
    assert archive.restore(kind, name, subject=archive.lab.code(), kind="sync") == [archive.units["sync"]]


@pytest.mark.parametrize("given", ["unit", "file", "subject"])
def test_they_come_back_from_a_vault(archive: Everywhere, tmp_path: Path, given: str) -> None:
    jobs: dict[Unit, dict[str, str]] = {}
    for unit in archive.units.values():
        path = max(archive.wanted[unit])
        jobs[unit] = {given: {"unit": str(unit), "file": asked_name(path), "subject": unit.code}[given]}
    waits: list[str] = ["vault: waiting"]
    for _ in range(4):
        waits = []
        for asked in list(jobs.values())[: 1 if given == "subject" else None]:
            said: list[str] = []
            restore_asked(archive.settings(tmp_path, **{"from": VAULT}, **asked), say=said.append)
            waits += [line for line in said if "waiting" in line]
        if not waits:
            break
        archive.vaults.pass_time(6 * HOUR)
    assert waits == []
    for unit in archive.units.values():
        path = max(archive.wanted[unit])
        if given == "file":
            assert archive.there(tmp_path, VAULT, unit) == {path: archive.wanted[unit][path]}
        else:
            archive.demand_whole(tmp_path, VAULT, unit)


def test_the_real_snakemake_brings_them_back(archive: Everywhere) -> None:
    lab = archive.lab
    asked = ("--config", f"subject={lab.code()}", "from=azuretar", "--", "restore")
    lab.snakemake(*asked)
    for unit in archive.units.values():
        archive.demand_whole(lab.paths.restored, "azuretar", unit)
    assert lab.dry_run(*asked) == []


# --- rot and swaps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_a_flipped_byte_of_any_object_never_becomes_a_file_and_the_next_restore_is_right(
    archive: Everywhere, tmp_path: Path, name: str
) -> None:
    generator = random.Random(f"{SEED} {name}")
    config = archive.settings(tmp_path)
    refused: Counter[str] = Counter()
    for key, data in sorted(archive.objects(name).items()):
        if not data:
            continue
        unit = archive.unit_of(key)
        at = generator.choice((0, len(data) - 1, generator.randrange(len(data))))
        archive.put(name, key, data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :])
        archive.forget(tmp_path, name, unit, key)
        try:
            archive.restore(config, name, unit=str(unit))
        except EcogvaultError as error:
            refused[unit.kind] += 1
            demand_clear(error)
            assert not (tmp_path / name / f"{unit}.json").exists()
            archive.demand_nothing_wrong(tmp_path, name, unit)
        else:
            # What lies beside a set of files for the day on which its manifest is not here is not needed today.
            assert key.endswith(".manifest.age"), key
        archive.put(name, key, data)
        archive.restore(config, name, unit=str(unit))
        archive.demand_whole(tmp_path, name, unit)
    assert set(refused) == set(KINDS)


def test_a_manifest_that_is_fetched_from_beside_a_set_of_files_is_proven_too(
    archive: Everywhere, tmp_path: Path
) -> None:
    unit, name = archive.units["vid"], "s3crypt"
    here = archive.lab.paths.manifest(unit)
    kept = here.read_bytes()
    key = next(key for key in archive.objects(name) if key.endswith(".manifest.age") and f"{unit}." in key)
    good = archive.objects(name)[key]
    here.unlink()
    try:
        archive.put(name, key, good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(EcogvaultError):
            archive.restore(archive.settings(tmp_path), name, unit=str(unit))
        assert archive.there(tmp_path, name, unit) == {}
        archive.put(name, key, good)
        archive.restore(archive.settings(tmp_path), name, unit=str(unit))
    finally:
        here.write_bytes(kept)
    archive.demand_whole(tmp_path, name, unit)


@pytest.mark.parametrize("name", ["s3plain", "azurecrypt", "nascrypt", "nastar", "azuretar"])
def test_objects_that_have_changed_places_are_refused(archive: Everywhere, tmp_path: Path, name: str) -> None:
    good = archive.objects(name)
    ends = (".tar.zst.age",) if name.endswith("tar") else (".avi", ".avi.age")
    first, second = [key for key in sorted(good) if key.endswith(ends)][:2]
    archive.put(name, first, good[second])
    archive.put(name, second, good[first])
    config = archive.settings(tmp_path)
    for key in (first, second):
        unit = archive.unit_of(key)
        with pytest.raises(EcogvaultError):
            archive.restore(config, name, unit=str(unit))
        archive.demand_nothing_wrong(tmp_path, name, unit)
    archive.put(name, first, good[first])
    archive.put(name, second, good[second])
    archive.restore(config, name, unit=str(unit))
    archive.demand_whole(tmp_path, name, unit)


# --- faults on the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s3plain", "s3crypt", "s3tar", "azureplain", "azurecrypt", "azuretar"])
def test_on_a_line_that_breaks_and_lies_restores_are_right_or_refused_and_come_to_an_end(
    archive: Everywhere, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecogvault.stores.s3_client.READ_SECONDS", 1.0)
    monkeypatch.setattr("ecogvault.stores.azure_client.READ_SECONDS", 1.0)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    address = archive.services.s3["endpoint_url"] if name.startswith("s3") else archive.services.azure["account_url"]
    faults = tuple(fault for fault in FAULTS if fault != "stall")
    with faulty(address, SEED, rate=0.4, faults=faults) as proxy:
        rounds = 0
        while sum(proxy.done[fault] for fault in faults) < 10:
            rounds += 1
            restored = tmp_path / str(rounds)
            config = archive.through(proxy.endpoint_url, restored)
            for unit in archive.units.values():
                for _ in range(60):
                    try:
                        archive.restore(config, name, unit=str(unit))
                        break
                    except EcogvaultError as error:
                        demand_clear(error)
                        archive.demand_nothing_wrong(restored, name, unit)
                archive.demand_whole(restored, name, unit)
