"""EDF+ files with made-up signals, byte for byte from a seed.

Format: Kemp & Olivan 2003, "European data format 'plus' (EDF+)", sections 2.1 (header and fields) and 2.2
(annotations: time-keeping and time-stamped annotation lists).
"""

import random
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

CHANNELS = ("EEG LFG1-Ref", "EEG LFG2-Ref", "EEG LFG3-Ref", "EEG LFG4-Ref", "EEG Fp1-Ref", "EEG Fp2-Ref", "ECG EKG1")
SAMPLES_PER_SECOND = 256
ANNOTATION_SAMPLES = 60  # 120 bytes in each data record of one second

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def edf_date(date: datetime) -> str:
    """A date as EDF+ writes it in the patient and recording fields: `09-APR-1987`."""
    return f"{date.day:02d}-{_MONTHS[date.month - 1]}-{date.year}"


def _field(text: str, width: int, encoding: str = "ascii") -> bytes:
    data = text.encode(encoding)
    if len(data) > width:
        data = data[:width]
    return data.ljust(width)


def patient_field(text: str) -> bytes:
    """The 80 bytes of the local patient identification; Latin-1, as hospital software writes it."""
    return _field(text, 80, "latin-1")


def _annotations(second: int, milliseconds: int, texts: Sequence[str]) -> bytes:
    onset = f"+{second}.{milliseconds:03d}" if milliseconds else f"+{second}"
    lists = f"{onset}\x14\x14\0".encode() + b"".join(f"{onset}\x14{text}\x14\0".encode() for text in texts)
    return lists[: 2 * ANNOTATION_SAMPLES].ljust(2 * ANNOTATION_SAMPLES, b"\0")


def _signals(generator: random.Random, samples: int) -> npt.NDArray[np.int16]:
    """One row per channel: a triangle wave of its own period with noise, in integers only, so the same everywhere."""
    noise = np.frombuffer(generator.randbytes(2 * len(CHANNELS) * samples), dtype="<i2").reshape(len(CHANNELS), samples)
    periods = np.array([generator.randrange(40, 400) for _ in CHANNELS])[:, None]
    phase = np.arange(samples)[None, :] % periods
    wave = np.abs(2 * phase - periods) * 4000 // periods
    signals: npt.NDArray[np.int16] = ((noise >> 6) + wave - 2000).astype("<i2")
    return signals


def edf_bytes(
    generator: random.Random,
    *,
    local_start: datetime,
    milliseconds: int = 0,
    seconds: int,
    patient: str,
    recording: str,
    annotations: Sequence[tuple[int, str]] = (),
) -> bytes:
    """A whole EDF+C file of `seconds` records of one second.

    `milliseconds` is the start below the second of `local_start`, which EDF+ has in the first time-keeping list alone.
    `annotations` are (second, text); texts that do not fit into the record's 120 bytes are cut.
    """
    count = len(CHANNELS) + 1
    columns: list[tuple[int, list[str]]] = [
        (16, [*CHANNELS, "EDF Annotations"]),
        (80, ["AgAgCl electrode"] * len(CHANNELS) + [""]),
        (8, ["uV"] * len(CHANNELS) + [""]),
        (8, ["-3276.8"] * len(CHANNELS) + ["-1"]),
        (8, ["3276.7"] * len(CHANNELS) + ["1"]),
        (8, ["-32768"] * count),
        (8, ["32767"] * count),
        (80, ["HP:0.1Hz LP:100Hz"] * len(CHANNELS) + [""]),
        (8, [str(SAMPLES_PER_SECOND)] * len(CHANNELS) + [str(ANNOTATION_SAMPLES)]),
        (32, [""] * count),
    ]
    header = (
        _field("0", 8)
        + patient_field(patient)
        + _field(recording, 80, "latin-1")
        + _field(local_start.strftime("%d.%m.%y"), 8)
        + _field(local_start.strftime("%H.%M.%S"), 8)
        + _field(str(256 * (count + 1)), 8)
        + _field("EDF+C", 44)
        + _field(str(seconds), 8)
        + _field("1", 8)
        + _field(str(count), 4)
        + b"".join(_field(text, width) for width, texts in columns for text in texts)
    )
    signals = _signals(generator, seconds * SAMPLES_PER_SECOND)
    records = [
        signals[:, second * SAMPLES_PER_SECOND : (second + 1) * SAMPLES_PER_SECOND].tobytes()
        + _annotations(second, milliseconds, [text for at, text in annotations if at == second])
        for second in range(seconds)
    ]
    return header + b"".join(records)
