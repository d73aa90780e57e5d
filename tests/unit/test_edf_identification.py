"""Whose recording it is. All names are made up."""

import unicodedata

import pytest
from edf_builder import recording
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.edf import identification, names_nobody, names_person
from ecogvault.edf.identification import _CODE
from ecogvault.naming import CODE_PATTERN
from ecogvault.person import Person

ZWINGLE = Person("O'Brastein-Žálková", "Zoë Émilie", ("Zozo",), "00-4711-23", "1987-04-09")
MUELLERIN = Person("Müllerinsky", "Jörgen")
NG = Person("Ngx", "Ling Mei", (), "88121", "1990-01-02")

HERS = [
    "O'Brastein-Žálková~ Zoë",
    "O'Brastein-Žálková_Zoë_Émilie",
    "O'BRASTEIN-ŽÁLKOVÁ^ZOË^ÉMILIE",
    "obrastein zalkova, zoe",
    "OBRASTEINZALKOVA ZOE",
    "Zoe E. O Brastein Zalkova",
    "ObrasteinzalkovaZoe",
    "X F 09-APR-1987 O'Brastein-Žálková",
    "X F 09-APR-1987 O'Brastein_Žálková,_Z.",
    "O’Brastein–Žálková, Zoë",
    "Zozo OBrastein-Zalkova",
    "4711023x F 09-APR-1987 O'Brastein-Žálková_Zoë some remark",
    "47-11-23 F X X",
    "00471123 M 01-JAN-1901 Somebody_Else",
    "O'Brastein-Zalkova12",
    "Mrs O'Brastein-Žálková 3",
]
NOT_HERS = [
    "",
    "X X X X",
    "Brastein_Zoë",
    "Žálková^Zoë",
    "O'Brastein-Žálkováer_Zoë",
    "O'Brastein-Žálková_Karla",
    "5471123 F X X",
    "Zoë Émilie",
    "Haagse_Harriet",
]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("field", HERS)
def test_a_field_that_names_the_person_is_known_in_every_spelling(field: str, form: str):
    assert names_person(unicodedata.normalize(form, field), ZWINGLE)
    assert not names_nobody(unicodedata.normalize(form, field))


@pytest.mark.parametrize("field", NOT_HERS)
def test_a_field_that_names_another_is_not_taken_for_the_person(field: str):
    assert not names_person(field, ZWINGLE)


@pytest.mark.parametrize("field", ["Muellerinsky_Jorgen", "MÜLLERINSKY^JÖRGEN", "mullerinsky, joergen", "Muellerinsky"])
def test_umlauts_may_be_written_out(field: str):
    assert names_person(field, MUELLERIN)
    assert names_person(field, Person("Muellerinsky", "Joergen"))


@pytest.mark.parametrize("field", ["Ngx_Ling", "ngx, L", "X F 02-JAN-1990 NGX", "Mei Ngx", "88121 X X X"])
def test_a_short_surname_counts_as_a_whole_word(field: str):
    assert names_person(field, NG)


@pytest.mark.parametrize("field", ["N_G_X", "Ling_Mei", "Ngxu_Ling", "Bongx", "Angx Mei"])
def test_a_short_surname_does_not_count_inside_other_words(field: str):
    assert not names_person(field, NG)


@pytest.mark.parametrize(
    ("name", "field"), [("Bo", "Testermannsson_Bo"), ("Jo-An", "Jo An Testermannsson"), ("Bo", "Bo Q Testermannsson")]
)
def test_given_names_of_two_letters_agree_as_whole_words(name: str, field: str):
    assert names_person(field, Person("Testermannsson", name))
    assert not names_person("Testermannsson_Bu", Person("Testermannsson", name))


def test_a_former_surname_counts_only_with_the_given_name():
    person = Person("Newnamesson", "Quentina", ("Oldnamesson",))
    assert names_person("Oldnamesson, Quentina", person)
    assert not names_person("Oldnamesson", person)
    assert not names_person("Oldnamesson, Barnaby", person)


def test_a_record_number_too_short_to_be_one_does_not_count():
    assert not names_person("X M X X", Person("Qqqqqq", "", (), "M"))
    assert not names_person("7 M X X", Person("Qqqqqq", "", (), "7"))


@pytest.mark.parametrize(
    "field",
    ["", "   ", "X X X X", "X F X X", "X,X", "X M 30-JUN-1969 X", "X F 20-JAN-1998 X,X", "df5c5206 X X X", "Anonymous",
     "anonymous patient", "UNKNOWN", "Patient_Name", "1987-04-09", "09.04.87", "9/4/1987 male", "\0\0", "No Name"],
)  # fmt: skip
def test_these_fields_name_nobody(field: str):
    assert names_nobody(field)
    assert not names_person(field, ZWINGLE)


@pytest.mark.parametrize("field", ["MCH-0234567 F 02-MAY-1951 X", "12345", "Haagse", "X X X Haagse_Harriet", "D_F5C52"])
def test_these_fields_name_somebody(field: str):
    assert not names_nobody(field)


@given(st.text(max_size=80), st.text(max_size=12), st.text(max_size=12), st.text(max_size=8))
def test_any_text_has_an_answer(field: str, surname: str, name: str, mrn: str):
    assert names_person(field, Person(surname, name, (), mrn)) in (True, False)
    assert names_nobody(field) in (True, False)


WORD = st.text("bcdghklpqrtvwz", min_size=6, max_size=12)


@given(
    WORD, WORD, st.sampled_from(["{0}~ {1}", "{0}_{1}", "{0}^{1}", "{1} {0}", "{0}, {1}", "X F X {0}_{1}", "{0}{1}"])
)
def test_surname_and_given_name_are_found_in_every_order(surname: str, name: str, form: str):
    for field in (form.format(surname, name), form.format(surname.upper(), name.title())):
        assert names_person(field, Person(surname.title(), name.title()))


@given(WORD, WORD, WORD, WORD)
def test_a_person_is_not_found_in_another_person_s_field(surname: str, name: str, other: str, given_name: str):
    if surname not in (other, given_name) and not (other + given_name).startswith(surname):
        assert not names_person(f"{other}^{given_name}", Person(surname, name))


def test_a_recording_tells_its_two_fields(tmp_path):
    path = tmp_path / "a.edf"
    path.write_bytes(recording())
    got = identification(path)
    assert got.patient_field == "MCH-0234567 F 02-MAY-1951 Haagse_Harriet"
    assert got.recording_field.startswith("Startdate 02-MAR-2002 EMG561")
    assert "Haagse" not in repr(got)


def test_subject_codes_are_the_naming_s():
    assert _CODE.pattern == CODE_PATTERN
