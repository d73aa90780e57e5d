"""What an old object's name says: the old scripts' layouts are understood, and nothing that might hold a name is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.oldnames import OPENSSL, PLAIN, Old, classify, codes_in

CODE = "df5c5206"


@pytest.mark.parametrize(
    ("key", "kind", "session", "part", "format"),
    [
        ("df5c5206_vid.tar.gz.enc", "vid", None, None, OPENSSL),
        ("archive/df5c5206_pt2_edf.tar.gz.enc", "edf", None, 2, OPENSSL),
        ("df5c5206_edf_pt2.tar.gz.enc", "edf", None, 2, OPENSSL),
        ("df5c5206_vid", "vid", None, None, OPENSSL),
        ("df5c5206_pt1_vid", "vid", None, 1, OPENSSL),
        ("df5c5206_snc.tar.gz", "sync", None, None, PLAIN),
        ("df5c5206/df5c5206_3/df5c5206_3_0007.avi.enc", "vid", 3, None, OPENSSL),
        ("df5c5206_edf/df5c5206_1.edf", "edf", 1, None, PLAIN),
        ("edf/df5c5206/df5c5206_12.bdf", "bdf", 12, None, PLAIN),
        ("video/df5c5206/df5c5206_3/decimated/df5c5206_3.erd", "vid", 3, None, PLAIN),
        ("snc/df5c5206/df5c5206_3.txt", "sync", 3, None, PLAIN),
        ("DF5C5206_3_0001.AVI.ENC", "vid", 3, None, OPENSSL),
    ],
)
def test_the_old_layouts_are_understood(
    key: str, kind: str, session: int | None, part: int | None, format: str
) -> None:
    assert classify(key) == Old(CODE, kind, session, part, format, key.rpartition("/")[2])


@pytest.mark.parametrize(
    "key",
    [
        "Blorptwill/df5c5206_3_0007.avi.enc",  # a folder that may be a name
        "df5c5206_3_Blorptwill.avi.enc",
        "df5c5206_Blorptwill.tar.gz.enc",
        "df5c5206_3",  # a folder's own name says nothing of a file
        "df5c5206_3.blorptwill",
        "df5c5206/df5c5206_3_vid.g1.tar.zst.age",  # this program's own
        "df5c5206/df5c5206_3_vid.g1.statement.json",
        "HOW-TO-OPEN.txt",
        "zz5c5206_vid.tar.gz.enc",
        "",
    ],
)
def test_what_is_not_made_of_codes_and_known_words_is_not_understood(key: str) -> None:
    assert classify(key) is None


@given(st.text(max_size=40))
def test_any_text_is_a_copy_or_none_and_a_copy_names_its_code(text: str) -> None:
    found = classify(text)
    assert found is None or found.code in codes_in(text) or found.code in text.lower()


def test_every_code_in_a_key_is_seen_whether_the_key_is_understood_or_not() -> None:
    assert codes_in("Blorptwill/df5c5206_3/ec761078.dat") == {"df5c5206", "ec761078"}
    assert codes_in("0df5c5206_x") == set()
