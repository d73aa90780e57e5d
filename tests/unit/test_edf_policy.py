"""Policies: what each says of each field, what no policy may say, and that only the named bytes ever differ."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from edf_builder import header
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.edf import PolicyError, annotation_places, parse_header, read_policy, scrubbed_header, shipped
from ecogvault.edf.header import FIXED_PLACES, signal_places
from ecogvault.edf.policy import SHIPPED

CODE = "df5c5206"
STAFFED = {
    "patient": "MCH-0234567 F 02-may-1951 Haagse_Harriet left-handed",
    "recording": "Startdate 02-MAR-2002 EMG561 BK/JOP Sony-4711 ward 7",
    "reserved": "EDF+C bed 12",
}
LAB: dict[str, Any] = yaml.safe_load((SHIPPED / "lab.yaml").read_text(encoding="utf-8"))


def written(tmp_path: Path, *changes: tuple[str, object]) -> str:
    """The path of a policy like `lab` with other rules (`patient.sex`) for some fields."""
    values = yaml.safe_load(yaml.safe_dump(LAB))
    for name, rule in changes:
        *above, last = name.split(".")
        place = values
        for part in above:
            place = place[part]
        place[last] = rule
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(path)


def field(data: bytes, name: str) -> str:
    return data[FIXED_PLACES[name]].decode("latin-1").rstrip()


def signal_field(data: bytes, name: str, signal: int) -> str:
    count = len(parse_header(data).signals)
    place = next(place for one, index, place in signal_places(count) if (one, index) == (name, signal))
    return data[place].decode("latin-1").rstrip()


def with_texts(data: bytes, *, transducer: str = "", prefilter: str = "", reserved: str = "", label: str = "") -> bytes:
    """A header whose first signal has these texts."""
    patched = bytearray(data)
    texts = {"transducer_type": transducer, "prefiltering": prefilter, "reserved": reserved, "label": label}
    for name, index, place in signal_places(len(parse_header(data).signals)):
        if index == 0 and texts.get(name):
            patched[place] = texts[name].encode().ljust(place.stop - place.start)
    return bytes(patched)


@pytest.mark.parametrize(
    ("policy", "patient", "recording"),
    [
        ("lab", f"{CODE} X X X", "Startdate 02-MAR-2002 X X X"),
        ("limited-dataset", f"{CODE} F 02-MAY-1951 X", "Startdate 02-MAR-2002 X X X"),
    ],
)
def test_what_the_shipped_policies_leave_of_who_and_what(policy: str, patient: str, recording: str):
    scrubbed, _ = scrubbed_header(header(**STAFFED), CODE, policy=shipped(policy))
    assert field(scrubbed, "local_patient_identification") == patient
    assert field(scrubbed, "local_recording_identification") == recording
    assert field(scrubbed, "reserved") == "EDF+C"
    assert field(scrubbed, "startdate") == "02.03.02"


@pytest.mark.parametrize("policy", ["lab", "limited-dataset"])
def test_shipped_policies_fit_the_schema_and_move_every_date(policy: str):
    assert read_policy(policy, check=True) == shipped(policy)
    shipped(policy).require_shifts()


def test_a_limited_data_set_shifts_the_birth_date_alike():
    scrubbed, _ = scrubbed_header(header(**STAFFED), CODE, policy=shipped("limited-dataset"), shift_days=-365)
    assert field(scrubbed, "local_patient_identification") == f"{CODE} F 02-MAY-1950 X"
    assert field(scrubbed, "local_recording_identification") == "Startdate 02-MAR-2001 X X X"
    assert field(scrubbed, "startdate") == "02.03.01"


@pytest.mark.parametrize(
    "patient",
    ["Haagse, Harriet F 1951", "F 02-MAY-1951 Haagse", "0234567 Harriet Haagse F", "MCH F 31-FEB-1951 Haagse"],
)
def test_of_a_patient_field_that_is_not_understood_nothing_doubtful_stays(patient: str):
    scrubbed, _ = scrubbed_header(header(patient=patient), CODE, policy=shipped("limited-dataset"))
    assert re.fullmatch(rf"{CODE} [MFX] X X", field(scrubbed, "local_patient_identification"))
    assert "1951" not in field(scrubbed, "local_patient_identification")


@pytest.mark.parametrize(
    "text",
    ["HP:0.1Hz LP:75Hz N:50Hz", "HP:DC; LP:104Hz", "HP 0.5 LP 70 N 60", "None", "LP: 1,5 kHz", "", "N:60Hz HP:0.16 Hz",
     "HP:0.1Hz LP:100Hz"],
)  # fmt: skip
def test_lab_keeps_filter_settings(text: str):
    original = with_texts(header(), prefilter=text)
    assert signal_field(scrubbed_header(original, CODE)[0], "prefiltering", 0) == (text or "HP:0.1Hz")


@pytest.mark.parametrize(
    "text", ["Haagse", "HP:0.1Hz Harriet", "0234567", "HP:02-MAY-1951", "pre1", "call 206 555 0199 now"]
)
def test_lab_blanks_what_is_more_than_filter_settings(text: str):
    assert signal_field(scrubbed_header(with_texts(header(), prefilter=text), CODE)[0], "prefiltering", 0) == ""


def test_lab_blanks_the_other_free_text_of_signals_and_keeps_labels():
    original = with_texts(header(), transducer="Nurse Haagse's cup", reserved="bed 12", label="EEG Fpz-Cz")
    scrubbed, changes = scrubbed_header(original, CODE)
    assert [signal_field(scrubbed, name, 0) for name in ("transducer_type", "reserved", "label")] == [
        "",
        "",
        "EEG Fpz-Cz",
    ]
    assert {(change.name, change.signal) for change in changes if change.signal} == {
        ("transducer_type", 1),
        ("reserved", 1),
    }
    limited, _ = scrubbed_header(original, CODE, policy=shipped("limited-dataset"))
    assert signal_field(limited, "transducer_type", 0) == "Nurse Haagse's cup"


def test_every_verb_does_what_it_says(tmp_path: Path):
    policy = read_policy(
        written(
            tmp_path,
            ("patient.sex", "KEEP"),
            ("patient.name", "CODE"),
            ("patient.additional", {"REPLACE": "study-9"}),
            ("recording.technician", "KEEP"),
            ("recording.equipment", {"KEEP": "Sony-[0-9]+"}),
            ("recording.additional", "KEEP"),
            ("startdate", "BLANK"),
            ("starttime", "BLANK"),
            ("reserved", "KEEP"),
            ("signals.label", {"KEEP": "EEG .*"}),
            ("signals.transducer", {"REPLACE": "an electrode"}),
            ("signals.reserved", "KEEP"),
        ),
        check=True,
    )
    labels = ("EEG Fpz-Cz", "Harriet", "EDF Annotations", "Status")
    original = header(**STAFFED, labels=labels, samples=(100, 100, 30, 1))
    original = with_texts(original, transducer="cup", reserved="kept")
    scrubbed, _ = scrubbed_header(original, CODE, policy=policy)
    assert field(scrubbed, "local_patient_identification") == f"{CODE} F X {CODE} study-9"
    assert field(scrubbed, "local_recording_identification") == "Startdate 02-MAR-2002 X BK/JOP Sony-4711 ward 7"
    assert [field(scrubbed, name) for name in ("startdate", "starttime", "reserved")] == [
        "01.01.85",
        "00.00.00",
        "EDF+C bed 12",
    ]
    assert [signal.label for signal in parse_header(scrubbed).signals] == ["EEG Fpz-Cz", "channel 2", *labels[2:]]
    assert [signal_field(scrubbed, "transducer_type", index) for index in range(2)] == ["an electrode", ""]
    assert signal_field(scrubbed, "reserved", 0) == "kept"


def test_what_is_kept_gives_way_where_the_date_needs_the_room(tmp_path: Path):
    policy = read_policy(
        written(tmp_path, ("recording.technician", "KEEP"), ("recording.additional", "KEEP")), check=True
    )
    original = header(recording="Startdate 2002 X nurse X ".ljust(80, "w"), startdate="02.03.02")
    scrubbed, _ = scrubbed_header(original, CODE, policy=policy)
    assert field(scrubbed, "local_recording_identification") == "Startdate 02-MAR-2002 X nurse X X"


@pytest.mark.parametrize("name", ["patient.birthdate", "recording.startdate", "startdate"])
def test_a_policy_that_keeps_a_date_is_refused_where_dates_are_shifted(tmp_path: Path, name: str):
    policy = read_policy(written(tmp_path, (name, "KEEP")), check=True)
    assert scrubbed_header(header(), CODE, policy=policy)[0]
    with pytest.raises(PolicyError, match=rf"policy own keeps {name} as it is, but dates are to be shifted"):
        scrubbed_header(header(), CODE, policy=policy, shift_days=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("patient.name", "KEEP"), "patient.name must be one of BLANK, CODE"),
        (("patient.code", "KEEP"), "patient.code must be one of BLANK, CODE"),
        (("patient.sexx", "KEEP"), "patient.sexx: there is no such key in the policy; did you mean 'sex'?"),
        (("startdate", "CODE"), "startdate must be one of KEEP, BLANK, SHIFT"),
        (("starttime", "SHIFT"), "starttime must be one of KEEP, BLANK"),
        (("signals.transducer", {"REPLACE": "é"}), "signals.transducer.REPLACE must be text like"),
        (("recording.technician", {"REPLACE": "two words"}), "recording.technician.REPLACE must be text like"),
        (("signals.label", {"KEEP": "("}), "signals.label.KEEP is no regular expression"),
    ],
)
def test_what_no_policy_may_say_is_refused_by_its_field(tmp_path: Path, change: tuple[str, object], message: str):
    with pytest.raises(PolicyError) as caught:
        read_policy(written(tmp_path, change), check=True)
    assert message in str(caught.value)
    assert "own.yaml" in str(caught.value)


def test_a_policy_with_a_field_missing_is_refused_even_unchecked(tmp_path: Path):
    path = tmp_path / "own.yaml"
    for values in (
        {**LAB, "signals": {}},
        {**LAB, "startdate": "SHFIT"},
        [],
        None,
        {"patient": 5},
        {"signals": {"x": {}}},
    ):
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        for check in (False, True):
            with pytest.raises(PolicyError, match="own.yaml"):
                read_policy(str(path), check=check)
    with pytest.raises(PolicyError, match="name lab or limited-dataset, or a file's path"):
        read_policy("labb")
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(PolicyError, match="not readable as YAML"):
        read_policy(str(path))


def test_a_comment_is_not_another_policy_and_a_rule_is(tmp_path: Path):
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    text = (SHIPPED / "lab.yaml").read_text(encoding="utf-8")
    same.write_text(f"# a remark\n{text}", encoding="utf-8")
    other.write_text(text.replace("startdate: SHIFT\nstarttime", "startdate: BLANK\nstarttime"), encoding="utf-8")
    assert read_policy(str(same)).digest == shipped("lab").digest
    assert read_policy(str(other)).digest != shipped("lab").digest


# --- only what the policy names ever differs --------------------------------------------------------------------------

NEVER = {
    "version", "header_bytes", "data_records", "duration_of_data_record", "number_of_signals", "physical_dimension",
    "physical_minimum", "physical_maximum", "digital_minimum", "digital_maximum", "samples_per_data_record",
}  # fmt: skip
TEXT = st.binary(max_size=80)
RULES = st.fixed_dictionaries(
    {
        "patient": st.fixed_dictionaries(
            {
                "code": st.sampled_from(["BLANK", "CODE", {"REPLACE": "S1"}]),
                "sex": st.sampled_from(["KEEP", "BLANK", {"REPLACE": "X"}]),
                "birthdate": st.sampled_from(["KEEP", "BLANK", "SHIFT"]),
                "name": st.sampled_from(["BLANK", "CODE", {"REPLACE": "abcdefghijklmnop"}]),
                "additional": st.sampled_from(["BLANK", "CODE", {"REPLACE": "abcdefghijklmnop"}]),
            }
        ),
        "recording": st.fixed_dictionaries(
            {"startdate": st.sampled_from(["KEEP", "BLANK", "SHIFT"])}
            | {
                name: st.sampled_from(["KEEP", "BLANK", "CODE", {"REPLACE": "abcdefghijklmnop"}, {"KEEP": "[a-z]*"}])
                for name in ("administration", "technician", "equipment", "additional")
            }
        ),
        "startdate": st.sampled_from(["KEEP", "BLANK", "SHIFT"]),
        "starttime": st.sampled_from(["KEEP", "BLANK"]),
        "reserved": st.sampled_from(["KEEP", "BLANK"]),
        "signals": st.fixed_dictionaries(
            {
                "label": st.sampled_from(["KEEP", "BLANK", {"KEEP": "EEG.*"}]),
                "transducer": st.sampled_from(["KEEP", "BLANK", "CODE", {"REPLACE": "cup"}]),
                "prefilter": st.sampled_from(["KEEP", "BLANK", {"KEEP": "HP.*"}]),
                "reserved": st.sampled_from(["KEEP", "BLANK"]),
            }
        ),
    }
)


@given(
    rules=RULES,
    patient=TEXT | st.just(STAFFED["patient"].encode()),
    recording=TEXT | st.just(STAFFED["recording"].encode()),
    texts=st.tuples(TEXT, st.binary(max_size=16)),
    startdate=st.sampled_from(["02.03.02", "00.00.00", "31.02.11", "02/03/02", "2.3.2002", ""]),
    reserved=st.sampled_from(["", "EDF+C", "edf+d note", "24BIT", "ward 7"]),
    days=st.sampled_from([0, 0, 40, -400]),
)
def test_only_the_bytes_that_the_policy_names_ever_differ_and_all_can_be_undone(
    tmp_path_factory: pytest.TempPathFactory,
    rules: dict[str, Any],
    patient: bytes,
    recording: bytes,
    texts: tuple[bytes, bytes],
    startdate: str,
    reserved: str,
    days: int,
):
    path = tmp_path_factory.mktemp("policy") / "own.yaml"
    path.write_text(yaml.safe_dump(rules), encoding="utf-8")
    policy = read_policy(str(path))
    original = bytearray(header(patient=patient, recording=recording, startdate=startdate, reserved=reserved))
    places = dict(FIXED_PLACES) | {f"{name} {index}": place for name, index, place in signal_places(2)}
    for name in ("transducer_type 0", "prefiltering 1"):
        original[places[name]] = texts[0].ljust(80)
    original[places["label 0"]] = texts[1].ljust(16)
    try:
        scrubbed, changes = scrubbed_header(bytes(original), CODE, policy=policy, shift_days=days)
    except PolicyError:
        assert days
        with pytest.raises(PolicyError):
            policy.require_shifts()
        return
    kept = {
        "startdate": rules["startdate"] == "KEEP",
        "starttime": rules["starttime"] == "KEEP",
        "reserved": rules["reserved"] == "KEEP",
        **{
            f"{name} {index}": rules["signals"][rule] == "KEEP"
            for name, rule in (("label", "label"), ("transducer_type", "transducer"), ("prefiltering", "prefilter"))
            for index in (0, 1)
        },
    }
    assert len(scrubbed) == len(original)
    for name, place in places.items():
        if name.split()[0] in NEVER or kept.get(name):
            assert scrubbed[place] == original[place], name
    undone = bytearray(scrubbed)
    for change in changes:
        undone[change.offset : change.offset + len(change.after)] = change.before
    assert undone == original


@pytest.mark.parametrize("label", ["EDF Annotations", "edf annotations", "EDF Annotations2", "Annotation"])
def test_no_policy_hides_a_signal_of_annotations_behind_another_label(tmp_path: Path, label: str):
    policy = read_policy(written(tmp_path, ("signals.label", "BLANK")))
    scrubbed, _ = scrubbed_header(header(labels=("EEG", label)), CODE, policy=policy)
    assert [signal_field(scrubbed, "label", place) for place in (0, 1)] == ["channel 1", label]
    assert annotation_places(parse_header(scrubbed)) == [(200, 60)]
