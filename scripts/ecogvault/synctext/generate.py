"""SNC and VTC text made from a session folder's own .snc and .vtc, in the layout that the lab's sync script reads.

It saves the way to the hospital's Windows computer, where the vendor's tool prints the same tables. The layout is that
of `texts`: 8 header lines and rows of stamp, time and FILETIME for SNC; 10 header lines and a row a video for VTC.
"""

import re
from datetime import timedelta

from ecogvault import natus
from ecogvault.synctext.texts import SNC_HEADER_LINES, VTC_HEADER_LINES, BadSyncText, filetimes, vtc_line

_VIDEO = re.compile(r"_(?P<number>[0-9]{4})(?P<suffix>\.avi)\Z", re.IGNORECASE)


def is_table(path: str, role: str) -> bool:
    """Whether the raw path of an item of role `snc` or `vtc` is that of the vendor's own table, and not of a text."""
    return role in ("snc", "vtc") and path.casefold().endswith(f".{role}")


def generated(
    data: bytes, kind: str, session: str, *, where: str = "a session file", shift: timedelta = timedelta(0)
) -> bytes:
    """The text of a session file of `kind` (`snc` or `vtc`), UTF-8 with LF, with coded names and shifted times.

    Times are UTC; a VTC's are cut to the millisecond, as the layout has them. Rows are in the order of the file.
    Raises natus.UnknownSchema, natus.BadNatusFile, and BadSyncText for a table without records, or with a video whose
    name the lab's reader could not take.
    """
    rows = _snc(data, where, shift) if kind == "snc" else _vtc(data, session, where, shift)
    if not rows:
        raise BadSyncText(where, f"its .{kind} has no records")
    header = [
        f"{kind.upper()} of {session}",
        f"Made from the session folder's own .{kind}",
        f"Rows: {len(rows)}",
        "Times: UTC",
    ]
    if kind == "snc":
        lines = [*header, *[""] * (SNC_HEADER_LINES - len(header) - 1), "Stamp\tTime\tFILETIME"]
    else:
        lines = [*header, *[""] * (VTC_HEADER_LINES - len(header) - 1), "Video [start]"]
    return "".join(line + "\n" for line in [*lines, *rows]).encode()


def _snc(data: bytes, where: str, shift: timedelta) -> list[str]:
    rows = []
    for point in natus.parse_snc(data, where):
        filetime = point.filetime + filetimes(shift)
        rows.append(f"{point.stamp}\t{natus.time_of(filetime):%d/%m/%Y %H:%M:%S.%f}\t{filetime}")
    return rows


def _vtc(data: bytes, session: str, where: str, shift: timedelta) -> list[str]:
    rows = []
    for number, video in enumerate(natus.parse_vtc(data, where), start=1):
        name = _VIDEO.search(video.name)
        if name is None:
            raise BadSyncText(where, f"record {number} of its .vtc is no video with a number of four digits")
        time = natus.time_of(video.start) + shift
        rows.append(vtc_line(f"{session}_{name['number']}{name['suffix']}", time, f"{time.microsecond // 1000:03d}"))
    return rows
