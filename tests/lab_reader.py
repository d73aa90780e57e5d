"""How the lab's sync script reads the two texts of a session, line by line: what we write must be read by it."""

from datetime import datetime


def lab_reads_vtc(text: str) -> list[tuple[datetime, int]]:
    """Start (UTC) and number of each video."""
    got = []
    for line in text.splitlines(keepends=True)[10:]:
        start = datetime.strptime(line.split("[")[1][:-2], "%d/%m/%Y %H:%M:%S.%f")
        got.append((start, int(line.split("[")[0][-9:-5])))
    return got


def lab_reads_snc(text: str) -> list[tuple[int, int]]:
    """Sample stamp and FILETIME of each row."""
    return [(int(line.split("\t")[0]), int(line.split("\t")[-1])) for line in text.splitlines(keepends=True)[8:]]
