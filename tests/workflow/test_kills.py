"""`kill -9` of uploads: whatever the moment, the next run ends with the same objects, and sends little twice."""

import base64
import random
from collections.abc import Iterator

import pytest
from kills import CERTAIN, DESTINATIONS, PARTS_THERE, Yard, kill_at_random, yard_in

from ecogvault import ledger
from ecogvault.records import read_record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills")]

KILLS = 20  # per destination
SEED = 3


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard_in(tmp_path_factory.mktemp("kills") / "yard") as made:
        yield made


@pytest.mark.parametrize(("destination", "moment"), [(name, moment) for name in CERTAIN for moment in CERTAIN[name]])
def test_an_upload_killed_just_when(yard: Yard, destination: str, moment: str) -> None:
    yard.kill(destination, {"after": CERTAIN[destination][moment]}, must_die=True)


@pytest.mark.parametrize("destination", PARTS_THERE)
def test_an_upload_killed_when_all_its_parts_are_there_sends_none_of_them_again(yard: Yard, destination: str) -> None:
    yard.kill(destination, {"before": PARTS_THERE[destination]}, must_die=True)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_an_upload_killed_at_any_moment_is_finished_by_the_next_run(yard: Yard, destination: str) -> None:
    generator = random.Random(f"{SEED} {destination}")
    kill_at_random(yard, destination, generator, KILLS - len(CERTAIN[destination]) - (destination in PARTS_THERE))


def test_content_that_changed_after_a_kill_is_encrypted_anew_and_the_old_upload_is_ended(yard: Yard) -> None:
    lab, unit = yard.lab, yard.unit
    killed = {"s3": r"^PUT \S+partNumber=2", "deep": r"^PUT \S+partNumber=2", "azure": r"^PUT \S+_0002\S+comp=block&"}
    for destination, moment in killed.items():
        yard.clear(destination)
        assert yard.upload(destination, {"after": moment})["status"] == -9
    begun = lab.unfinished_uploads()
    assert {key.endswith(".g1.tar.zst.age") for key in begun} == {True, False}
    secrets = read_record(lab.paths.transfer_secrets("s3", unit))["secrets"]
    old = {key: base64.b64decode(one["header"]) + base64.b64decode(one["nonce"]) for key, one in secrets.items()}
    changed = next(key for key in old if "_0002.avi" in key)
    yard.change()
    for destination in killed:
        done = yard.upload(destination)
        assert done["status"] == 0, done["output"]
        yard.prove_nothing_is_left(destination)
    yard.prove_nonces()
    there = yard.look("s3")
    assert not there[changed].content.startswith(old[changed])
    copy = ledger.copies(lab.paths.ledger("s3", unit))[2]
    wanted = {str(one["key"]): one["sha256"] for one in copy.objects if one.get("path")}
    contents = yard.contents(there)
    assert {key: contents[key] for key in wanted} == wanted
    assert set(yard.look("deep")) >= {f"{unit.code}/{unit}.g2.tar.zst.age"}
