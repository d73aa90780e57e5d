"""What is nobody's name is not taken for one: a thousand surnames in noise, in paths and in headers."""

import random

import edf_builder
import pytest
from noise import NOISES, false_positives, surnames

from ecogvault import layout
from ecogvault.config import check
from ecogvault.naming import Unit
from ecogvault.phi import HEADER_WORDS, OWN_WORDS, Names, Region

GIB = 1024**3
LABELS = [f"EEG {side}{contact}-Ref" for side in ("LFG", "RTP", "LAH", "Fp") for contact in range(1, 17)]
OTHER_LABELS = ("ECG EKG1", "Resp Thorax", "Event DC1", "SaO2", "Temp rectal", "EMG chin", "TRIG", "EDF Annotations")
TRANSDUCERS = ("AgAgCl electrode", "Ad-Tech grid 2.3mm Pt", "pulse oximeter, finger", "DC input", "strain gauge belt")
FILTERS = ("HP:0.1Hz LP:100Hz N:60Hz", "HP:DC LP:2000Hz", "HP: 0.016 Hz", "")


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_a_thousand_surnames_are_not_found_in_a_quarter_of_a_gib_of_noise(noise: str) -> None:
    region, made = NOISES[noise]
    found, size = false_positives(Names.of(surnames(1000)), region, made(GIB // 4, 20260301))
    print(f"{noise}: {found} false positives in {size / GIB:.2f} GiB")
    assert size == GIB // 4
    assert found <= size / GIB


def test_a_name_in_noise_is_counted() -> None:
    person = surnames(1000)[500]
    names = Names.of([person])
    for region, made in NOISES.values():
        (block,) = made(1024 * 1024, 1)
        planted = block[:500_000] + person.surname.upper().encode() + block[500_000:]
        assert false_positives(names, region, iter([planted])) == (1, len(planted))
        assert false_positives(names, region, iter([block])) == (0, len(block))


def test_a_thousand_surnames_are_not_found_in_paths_keys_and_headers() -> None:
    names = Names.of(surnames(1000))
    chance = random.Random(3)
    config = check(
        {
            "destinations": {
                "nas": {"type": "folder", "zone": "inside", "path": "/n", "form": "files", "layout": "nas"},
                "deep": {"type": "folder", "zone": "outside", "path": "/d", "form": "tarball"},
            }
        }
    )
    lines = []
    for number in range(1, 400):
        code = f"{chance.choice('abcdef')}{chance.getrandbits(28):07x}"
        for kind, path in (
            ("edf", f"edf/{code}_{number}.edf"),
            ("vid", f"vid/{code}_{number}/{code}_{number}_x001.doc"),
        ):
            unit = Unit(code, number, kind)
            lines += [path, f"{code}/order/{unit}.{chance.getrandbits(48):012x}.json", layout.statement_key(unit, 1)]
            lines += [layout.file_key(config.destinations["nas"], unit, 1, path)]
            lines += [layout.tarball_key(config.destinations["deep"], unit, number)]
    assert names.in_bytes("\n".join(lines).encode(), region=Region.TEXT, own_words=OWN_WORDS) == []
    for number in range(300):
        labels = [*chance.sample(LABELS, 20), *OTHER_LABELS]
        header = bytearray(
            edf_builder.header(
                patient=f"{chance.getrandbits(32):08x} X X X",
                recording="Startdate 02-MAR-2026 X X X",
                labels=labels,
                samples=[chance.choice((256, 512, 1024, 31876))] * len(labels),
                records=chance.randrange(99_999),
            )
        )
        for signal in range(len(labels)):
            transducer = 256 + 16 * len(labels) + 80 * signal
            header[transducer : transducer + 80] = chance.choice(TRANSDUCERS).encode().ljust(80)
            prefilter = 256 + 136 * len(labels) + 80 * signal
            header[prefilter : prefilter + 80] = chance.choice(FILTERS).encode().ljust(80)
        assert names.in_bytes(header, region=Region.TEXT, own_words=HEADER_WORDS) == [], number
