"""Small recordings made byte by byte, for tests of what no writer would write."""

from collections.abc import Sequence


def header(
    *,
    patient: str | bytes = "MCH-0234567 F 02-MAY-1951 Haagse_Harriet",
    recording: str | bytes = "Startdate 02-MAR-2002 EMG561 BK/JOP Sony._MNC_R_Median_Nerve.",
    startdate: str = "02.03.02",
    starttime: str = "17.05.11",
    reserved: str = "EDF+C",
    records: int | str = 3,
    seconds: float | str = 1,
    labels: Sequence[str] = ("EEG Fpz-Cz", "EDF Annotations"),
    samples: Sequence[int | str] = (100, 30),
    version: bytes = b"0       ",
    header_bytes: int | str | None = None,
    signals: int | str | None = None,
) -> bytes:
    """A header as the arguments say, right or wrong."""

    def pad(value: object, size: int) -> bytes:
        raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
        assert len(raw) <= size
        return raw.ljust(size)

    count = len(labels)
    fixed = [(version, 8), (patient, 80), (recording, 80), (startdate, 8), (starttime, 8)]
    fixed += [(256 * (count + 1) if header_bytes is None else header_bytes, 8), (reserved, 44), (records, 8)]
    fixed += [(seconds, 8), (count if signals is None else signals, 4)]
    columns = [(labels, 16), ([""] * count, 80), (["uV"] * count, 8), ([-100] * count, 8), ([100] * count, 8)]
    columns += [([-2048] * count, 8), ([2047] * count, 8), (["HP:0.1Hz"] * count, 80), (samples, 8), ([""] * count, 32)]
    return b"".join(pad(*part) for part in fixed) + b"".join(
        pad(value, size) for values, size in columns for value in values
    )


def recording(onsets: Sequence[str] = ("+0", "+1", "+2"), *, width: int = 2, **arguments: object) -> bytes:
    """A whole recording: one signal of 100 samples a record, one of annotations of 30 that begin with `onsets`."""
    body = b""
    for index, onset in enumerate(onsets):
        body += bytes((index + offset) % 251 for offset in range(100 * width))
        body += (f"{onset}\x14\x14\0".encode() if onset else b"").ljust(30 * width, b"\0")
    return header(**{"records": len(onsets), **arguments}) + body
