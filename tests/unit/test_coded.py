"""Already coded trees: recordings and session folders that bear a code and a number keep them."""

import random
import shutil
from pathlib import Path

import pytest
from intake_lab import CREATED, PERSON, Lab, edf_bytes

from ecogvault import intake, registry
from ecogvault.cli import main
from ecogvault.naming import Unit
from ecogvault.registry import RegistryRefused, register_coded
from ecogvault.registry.existing import register_existing
from ecogvault.sandbox.made_natus import header_bytes

CODE = "df5c5206"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab that knows CODE, closed, with its person, and a folder `coded` in the layout of the NAS."""
    made = Lab(tmp_path)
    register_existing(made.private, [(CODE, registry.make_person("Blorptwill", "Jexamine"))])
    made.code = CODE
    coded = tmp_path / "coded"
    (coded / "edf" / CODE).mkdir(parents=True)
    (coded / "edf" / CODE / f"{CODE}_7.edf").write_bytes(edf_bytes("09.00.00", f"{CODE} X X X"))
    (coded / "edf" / CODE / f"{CODE}_3.edf").write_bytes(edf_bytes("17.05.11", f"{CODE} X X X"))
    session = coded / "video" / CODE / f"{CODE}_3"
    session.mkdir(parents=True)
    person = registry.make_person("Blorptwill", "Jexamine")
    (session / f"{CODE}_3.eeg").write_bytes(header_bytes("eeg", person, CREATED, random.Random(1)))
    (session / f"{CODE}_3_0000.avi").write_bytes(b"RIFF")
    return made


def coded(lab: Lab) -> Path:
    return lab.raw.parent / "coded"


def test_they_keep_their_numbers_whatever_the_order_of_their_starts(lab: Lab) -> None:
    assert register_coded(lab.private, intake.coded_in(coded(lab)), coded(lab)) == [CODE]
    assert lab.subject.status == "arriving"
    units = lab.frozen()
    assert sorted(units) == [Unit(CODE, 3, "edf"), Unit(CODE, 3, "vid"), Unit(CODE, 7, "edf")]
    assert register_coded(lab.private, [CODE], coded(lab)) == [CODE]
    assert len(registry.parts(lab.private, CODE)) == 1


def test_what_is_exported_later_gets_the_next_number(lab: Lab) -> None:
    register_coded(lab.private, [CODE], coded(lab))
    lab.frozen()
    later = lab.raw.parent / "later"
    later.mkdir()
    (later / "later.edf").write_bytes(edf_bytes("20.00.00", "X X X Blorptwill_Jexamine"))
    person = registry.make_person("Blorptwill", "Jexamine")
    registry.register(lab.private, person, later, "*", code=CODE, decide_match=lambda *_: "*")
    proposed = intake.survey(lab.config, lab.private, lab.subject).proposed
    assert [row.unit for row in proposed] == [Unit(CODE, 8, "edf")]


def test_a_number_that_is_taken_is_not_given_twice(lab: Lab) -> None:
    register_coded(lab.private, [CODE], coded(lab))
    lab.frozen()
    other = lab.raw.parent / "other"
    other.mkdir()
    (other / f"{CODE}_7.edf").write_bytes(edf_bytes("09.00.00", "X X X X"))
    (other / f"{CODE}_8.edf").write_bytes(edf_bytes("09.30.00", "X X X X"))
    register_coded(lab.private, [CODE], other)
    seen = intake.survey(lab.config, lab.private, lab.subject)
    assert [row.unit for row in seen.proposed] == [Unit(CODE, 8, "edf")]
    assert [one.reason for one in seen.left] == ["copy"]  # the same stem and start as what was accepted


def test_a_code_without_a_person_or_without_registration_is_refused(lab: Lab) -> None:
    register_existing(lab.private, [("ec761078", None)])
    for code, said in (("ec761078", "nobody is registered under ec761078"), ("abcdef01", "no subject has the code")):
        shutil.copy(coded(lab) / "edf" / CODE / f"{CODE}_7.edf", lab.raw / f"{code}_1.edf")
        with pytest.raises(RegistryRefused, match=said):
            register_coded(lab.private, [code], lab.raw)
    assert registry.load_parts(lab.private)[-1].match != registry.CODED


def test_the_verb_prints_the_codes_and_refuses_a_folder_without_any(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import yaml

    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(dict(lab.config.values)))
    assert main(["--config", str(config), "register", "--coded", str(coded(lab))]) == 0
    assert capsys.readouterr().out.split() == [CODE]
    assert main(["--config", str(config), "register", "--coded", str(lab.raw)]) != 0
    assert "nothing in the coded folder is called by a code" in capsys.readouterr().err


def test_a_recording_that_still_names_another_stops_its_subject(lab: Lab) -> None:
    path = coded(lab) / "edf" / CODE / f"{CODE}_7.edf"
    path.write_bytes(edf_bytes("09.00.00", f"00812 F X {PERSON.surname}_{PERSON.given}"))
    register_coded(lab.private, [CODE], coded(lab))
    problem = next(plan.problem for plan in intake.look(lab.config, lab.private) if plan.code == CODE)
    assert problem is not None
    assert "names another person" in problem
