"""What counts as a name, wherever and however it is written."""

import unicodedata
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.person import Person
from ecogvault.phi import HEADER_WORDS, ByteScanner, Hit, Names, Region
from ecogvault.phi.variants import variants

# All invented.
QUILL = Person("O'Quillavan-Žurová", "Émeline", ("Marie-Tou",), "0048-213-77", "1987-04-09")
UEBEL = Person("Überfluß", "Jörg", (), "U5512347", "1990-12-01")
NG = Person("Ng", "Li", (), "77120934", "2001-02-28")
VAN_DER = Person("van der Loo", "Ed", (), "", "")

CODECS = ("utf-8", "latin-1", "cp1252", "utf-16-le", "utf-16-be")


def in_text(person: Person, text: str) -> bool:
    return bool(Names.of([person]).in_text(text))


QUILL_SPELLINGS = [
    "O'Quillavan-Žurová",
    "o'quillavan-žurová",
    "O’QUILLAVAN-ŽUROVÁ",
    "O'Quillavan-Zurova",
    "OQuillavanZurova",
    "O Quillavan Zurova",
    "O_Quillavan_Zurova",
    "quillavan",
    "ŽUROVÁ",
    "zurova",
    "Zurova~ Emeline",
    "Zurova, Émeline",
    "Émeline O'Quillavan-Žurová",
    "emeline",
    "ÉMELINE",
    "ZurovaEmeline",
    "zurova_emeline",
    "O%27Quillavan-%C5%BDurov%C3%A1",
    "%c3%a9meline",
    "%C3%89MELINE",
    "Marie-Tou",
    "marietou",
    "Marie%20Tou",
    "%c5%bdurov%C3%A1",
    "Zurova%CC%81",
    "%E9meline",
    "0048-213-77",
    "004821377",
    "4821377",
    "48 213 77",
    "48.213.77",
    "48-213-77",
    "4 8 2 1 3 7 7",
    "4,821,377",
    "4.821.377",
    "482 1377",
    "4821-377",
    "1987-04-09",
    "09/04/1987",
    "9.4.1987",
    "04/09/1987",
    "09-APR-1987",
    "9 April 1987",
    "19870409",
    "09041987",
    "09-APR-87",
    "09Apr87",
    "1987-APR-09",
    "9th April 1987",
    "9. Apr. 1987",
]
UEBEL_SPELLINGS = [
    "Überfluß",
    "ÜBERFLUß",
    "ueberfluss",
    "UEBERFLUSS",
    "uberfluss",
    "Jörg Überfluß",
    "U5512347",
    "551-234-7",
    "5 512 347",
]
PLACES: dict[Region, tuple[bytes, bytes]] = {
    Region.TEXT: (b"0123456789 Startdate 02-MAR-2026 ", b" X X X        "),
    Region.BINARY: (bytes(range(256)), bytes(range(255, -1, -1))),
    Region.SAMPLES: (bytes(range(0, 256, 2)), bytes(range(1, 256, 2))),
}


def planted() -> list[object]:
    cases = []
    for person, spellings in ((QUILL, QUILL_SPELLINGS), (UEBEL, UEBEL_SPELLINGS)):
        for spelling, codec, form, region in product(spellings, CODECS, ("NFC", "NFD"), PLACES):
            text = unicodedata.normalize(form, spelling)
            try:
                data = text.encode(codec)
            except UnicodeEncodeError:
                continue
            # Short UTF-16 in samples is left out by rule; a test below holds that border.
            if region is Region.SAMPLES and codec.startswith("utf-16") and (len(spelling) < 10 or "%" in spelling):
                continue
            if form == "NFC" or text != spelling:
                cases.append(pytest.param(person, data, region, id=f"{spelling}-{codec}-{form}-{region.value}"))
    return cases


PLANTED = planted()
COMPILED = {id(person): Names.of([person]) for person in (QUILL, UEBEL)}


def test_there_are_two_hundred_planted_identifiers_or_more() -> None:
    assert len(PLANTED) >= 200


@pytest.mark.parametrize(("person", "data", "region"), PLANTED)
def test_a_planted_identifier_is_found(person: Person, data: bytes, region: Region) -> None:
    before, after = PLACES[region]
    hits = COMPILED[id(person)].in_bytes(before + data + after, region=region)
    assert any(len(before) <= hit.offset < len(before) + len(data) for hit in hits)
    assert not COMPILED[id(person)].in_bytes(before + after, region=region)


def test_a_birth_year_that_begins_other_years_is_not_looked_for_in_two_digits() -> None:
    assert not in_text(Person("", birth_date="2020-04-09"), "Startdate 09-APR-2024 X X X")
    assert in_text(Person("", birth_date="2020-04-09"), "09-APR-2020")


NUMBERS = Person("Quorvley", "", (), "0048213", "1987-04-09")  # serial number 31876


@pytest.mark.parametrize(
    "text",
    [
        "born 31876.",
        "(31876)",
        '(."BirthDate", 31876.000000)',
        "DOB: 31876, f",
        "born\t31876\r\n",
        "born 19870409",
        "19870409000000",
        "MRN00048213x",
        "m48213",
        "No.48213",
    ],
)
def test_a_number_that_stands_alone_counts_in_notes(text: str) -> None:
    names = Names.of([NUMBERS])
    for codec in ("ascii", "utf-16-le", "utf-16-be"):
        assert names.in_bytes(text.encode(codec), region=Region.NOTES), codec
        assert names.in_bytes(b"\x01\0" * 8 + text.encode(codec) + b"\0\0", region=Region.STRINGS) or len(text) < 8


@pytest.mark.parametrize(
    "text",
    [
        "131876",
        "318761",
        "+31876\x14\x14\0",
        "0.31876",
        "-31876",
        "12:31876",
        "131987040912345678",  # a FILETIME
        "11198704091",
        "+48213\x1548213\x14x\x14",
        "1648213",
        "48213921",
        "3.48213",
        "a48213e0c1b2",  # a fingerprint
        "5e" * 14 + "4821398a" + "5e" * 14,
    ],
)
def test_digits_within_longer_numbers_onsets_fractions_and_digests_do_not_count(text: str) -> None:
    names = Names.of([NUMBERS])
    for region in (Region.TEXT, Region.NOTES, Region.STRINGS):
        assert not names.in_bytes(text.encode(), region=region)


def test_a_serial_number_of_days_is_no_birth_date_in_paths_headers_samples_and_other_bytes() -> None:
    names = Names.of([NUMBERS])
    for region in (Region.TEXT, Region.BINARY, Region.SAMPLES):
        assert not names.in_bytes(b"size 31876 bytes", region=region)


def test_between_other_bytes_short_names_and_numbers_count_in_readable_runs_only() -> None:
    names = Names.of([NG, NUMBERS])
    for text in (b"\0C:\\eeg\\Ng\0", b"Patient 31876\0", "Ng sleeps".encode("utf-16-le"), b"Quorvley"):
        assert names.in_bytes(b"\x03\x80" + text + b"\x03\0", region=Region.STRINGS), text
    for text in (b"\0Ng\0", b"\xd5 Ng \xd5", b"\x80\x8131876\x82", "é Ng é".encode("latin-1")):
        assert not names.in_bytes(b"\x03\x80" + text + b"\x03\0", region=Region.STRINGS), text


@pytest.mark.parametrize("kind", ["surname", "given", "other", "name", "mrn", "birth_date"])
@pytest.mark.parametrize("codec", CODECS)
def test_every_spelling_that_variants_makes_is_found_in_text(kind: str, codec: str) -> None:
    person = Person("d'Ør-Li", "Bö", ("An",), "00-12345", "1999-01-02")
    names = Names.of([person])
    spellings = [variant.text for variant in variants(person) if variant.kind == kind and not variant.serial]
    assert spellings
    for text in spellings:
        try:
            data = text.upper().encode(codec) if len(text.upper()) == len(text) else text.encode(codec)
        except UnicodeEncodeError:
            continue
        assert names.in_bytes(data, region=Region.TEXT, own_words=()), kind


def test_a_two_letter_name_counts_as_a_whole_word_only() -> None:
    names = Names.of([NG])
    for text in ("Ng", "NG 2", "x/ng_3/y", "a-ng-b", "3Ng7", "(ng)", "key%2FNg", "ng.edf", "İ Ng"):
        assert names.in_text(text), text
    for text in ("song", "ngoing", "Éng", "ngé", "ng\u0301", "engine"):
        assert not names.in_text(text), text


def test_a_short_name_never_counts_in_samples_or_other_binary_data() -> None:
    for region in (Region.BINARY, Region.SAMPLES):
        assert not Names.of([NG]).in_bytes(b" Ng \0 Li \0", region=region)
    assert len(Names.of([NG]).in_bytes(b" Ng \0 Li \0", region=Region.TEXT)) == 2


def test_two_short_names_together_are_one_long_pattern() -> None:
    assert {hit.kind for hit in Names.of([NG]).in_bytes(b"\x01Ng, Li\x02", region=Region.BINARY)} == {"name"}


def test_a_short_name_in_the_neighbouring_utf16_letters_is_no_whole_word() -> None:
    names = Names.of([NG])
    assert names.in_bytes("a Ng b".encode("utf-16-le"), region=Region.TEXT)
    assert not names.in_bytes("song".encode("utf-16-le"), region=Region.TEXT)
    assert not names.in_bytes("žng".encode("utf-16-be"), region=Region.TEXT)


def test_a_person_called_ed_is_not_in_our_own_paths() -> None:
    names = Names.of([VAN_DER, Person("Edf", "Vid"), Person("Order", "Sealed"), Person("Mani", "Recei")])
    for path in ("df5c5206/edf/df5c5206_1.edf", "order/df5c5206_1_edf.0123456789ab.json", "sealed/x.tar.zst.age"):
        assert not names.in_text(path), path
    assert names.in_text("df5c5206/ed/df5c5206_1.edf")
    assert names.in_text("df5c5206/orders/x")
    assert [hit.person for hit in names.in_text("x/Sealed_Order/y")] == [2]


def test_own_words_are_what_the_caller_says() -> None:
    names = Names.of([Person("Nasu", "Bob")])
    assert names.in_text("bob/nasu")
    assert not names.in_text("bob/nasu", own_words={"bob", "nasu"})


def test_a_long_name_within_one_of_our_own_words_does_not_count() -> None:
    names = Names.of([Person("Start", "Ada"), Person("May", "June")])
    header = b"Startdate 02-MAY-2026 X X X"
    assert not names.in_bytes(header, region=Region.TEXT, own_words=HEADER_WORDS)
    assert names.in_bytes(b"Starter", region=Region.TEXT, own_words=HEADER_WORDS)


def test_letters_of_codes_and_digests_are_no_names() -> None:
    names = Names.of([Person("Ada", "Ed"), Person("Bea", "Dee")])
    for text in ("a1ada234_3_vid", "0ed0bea0_1.edf", "5e" * 10 + "1ed2bea3" + "5e" * 8, "X 4ed5-0000"):
        assert names.in_text(text) == [] or text.startswith("X"), text
    assert names.in_text("4ed5")
    assert names.in_text("ada1")


def test_a_particle_counts_only_where_it_is_the_whole_name() -> None:
    assert not in_text(VAN_DER, "the van took der other way")
    for text in ("Van Der Loo", "vanderloo", "van_der_loo", "Loo, Ed", "VAN%20DER%20LOO", "van+der+loo", "a loo"):
        assert in_text(VAN_DER, text), text
    assert in_text(Person("Van", "Li"), "x/van/y")
    assert not in_text(Person("Van", "Li"), "x/vanilla/y")


def test_names_of_one_letter_are_never_patterns() -> None:
    assert not in_text(Person("X", "Y"), "X Y X, Y x~ y")
    assert not in_text(Person(""), "anything at all")


def test_file_names_that_are_not_utf8_are_looked_at_as_latin_1() -> None:
    assert in_text(UEBEL, b"x/\xdcberflu\xdf.edf".decode("utf-8", "surrogateescape"))


def test_an_offset_in_a_text_counts_characters() -> None:
    hits = Names.of([UEBEL]).in_text("žž/Überfluß")
    assert hits == [Hit(3, "surname", "utf-8", 0)]


def test_five_letters_in_samples_count_in_the_usual_cases_and_utf16_from_ten() -> None:
    names = Names.of([Person("Zubek", "Tor")])
    for text in (b"zubek", b"ZUBEK", b"Zubek"):
        assert names.in_bytes(text, region=Region.SAMPLES)
    assert not names.in_bytes("Zubek".encode("utf-16-le"), region=Region.SAMPLES)
    assert names.in_bytes("Zubek".encode("utf-16-le"), region=Region.BINARY)
    assert names.in_bytes("Zubek, Tor".encode("utf-16-le"), region=Region.SAMPLES)


def test_nothing_that_is_printed_shows_a_name() -> None:
    names = Names.of([QUILL, UEBEL])
    shown = [repr(names), *(repr(hit) for hit in names.in_text("Überfluß")), repr(sorted(map(repr, variants(UEBEL))))]
    shown += [repr(names.compiled(region)) for region in Region]
    shown += [repr(pattern) for pattern in names.compiled(Region.TEXT).patterns]
    assert not any("berflu" in text.lower() or "quillavan" in text.lower() or "55123" in text for text in shown)


def test_the_names_of_everybody_are_told_apart_by_index() -> None:
    assert {hit.person for hit in Names.of([QUILL, UEBEL, NG]).in_text("quillavan and ng")} == {0, 2}
    assert Names.of([]).in_text("quillavan") == []


_PIECES = (
    *(b"Ng", b"ng ", b" LI", "Überfluß".encode(), "ÜBERFLUSS".encode("utf-16-le"), b"Ng, Li", b"77120934", b"\xc3"),
    *(b"a", b"\0", b" " * 300, b"x" * 300, b"/edf/", b"0af4" * 30, b"%2F"),
)
_SCATTERED = st.lists(st.sampled_from(_PIECES), max_size=12)


@settings(deadline=None)
@given(pieces=_SCATTERED, cuts=st.lists(st.integers(0, 4000)), region=st.sampled_from(list(Region)))
def test_the_same_is_found_however_the_buffer_is_cut(pieces: list[bytes], cuts: list[int], region: Region) -> None:
    data = b"".join(pieces)
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    with ByteScanner(SPLIT, region) as scanner:
        hits = []
        for start, end in pairwise(borders):
            hits += scanner.feed(memoryview(data)[start:end])
        hits += scanner.finish()
    assert sorted(hits) == SPLIT.in_bytes(data, region=region)
    assert bool(hits) or not (region is Region.TEXT and "Überfluß".encode() in data)


SPLIT = Names.of([NG, UEBEL])


def test_one_byte_at_a_time_finds_a_short_name_between_delimiters() -> None:
    data = b"a ng\nsong" + b"." * 600 + b"ng"
    with ByteScanner(SPLIT, Region.TEXT, origin=1000) as scanner:
        hits = [hit for at in range(len(data)) for hit in scanner.feed(memoryview(data)[at : at + 1])]
        hits += scanner.finish()
    assert [hit.offset for hit in hits] == [1002, 1000 + len(data) - 2]
