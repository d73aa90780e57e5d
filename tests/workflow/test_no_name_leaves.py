"""No name leaves: the hardest names through the whole line, and the check itself shown to find what it must."""

import base64
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import Lab, Run

from ecogvault.sandbox.export import EXTRA_PATIENTS, HARD_NAME, PLAIN_NAME

NAME = HARD_NAME.surname


@pytest.mark.slow
def test_hard_names_in_decomposed_and_lower_cased_paths_go_through_the_whole_line(make: Callable[..., Lab]) -> None:
    people = (HARD_NAME, *EXTRA_PATIENTS)  # apostrophe, hyphen, accent, two given names; two letters; a particle
    lab = make(people=people, extra_patients=EXTRA_PATIENTS, nfd=True, lower_folders=True)
    lab.settings["destinations"]["deep"]["kinds"] = ["edf"]
    lab.configure()
    lab.snakemake()
    codes = [lab.code(person) for person in people]
    assert [str(unit) for unit in lab.units()] == sorted(
        f"{code}_1_{kind}" for code in codes for kind in ("edf", "sync", "vid")
    )
    lab.snakemake("--", "verify")
    for code, name in zip(codes, ("nas", "deep", "s3"), strict=True):
        lab.snakemake("--config", f"subject={code}", f"from={name}", "--", "restore")
    assert lab.dry_run() == []
    # What lies there is what was looked at: the fixture's check runs over all of it now.
    assert len(lab.all_objects()) > 30


@contextmanager
def file(lab: Lab, relative: str, data: bytes = b"") -> Iterator[None]:
    path = lab.folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    yield
    path.unlink()


@contextmanager
def stored(lab: Lab, key: str, data: bytes = b"", **metadata: str) -> Iterator[None]:
    bucket = lab.buckets[0]
    lab.client.put_object(Bucket=bucket, Key=key, Body=data, Metadata=metadata)
    yield
    lab.client.delete_object(Bucket=bucket, Key=key)


@contextmanager
def said(lab: Lab, text: str) -> Iterator[None]:
    lab.runs.append(Run(0, text, []))
    yield
    lab.runs.pop()


def snakemakes(path: str) -> str:
    return ".snakemake/metadata/" + base64.urlsafe_b64encode(path.encode()).decode()


LEAKS = {
    "a path": lambda lab: file(lab, f"results/{NAME.lower()}.tsv"),
    "a log": lambda lab: file(lab, "logs/a.log", f"cannot open {NAME.upper()}.edf".encode()),
    "UTF-16 in a binary file": lambda lab: file(lab, "results/a.bin", b"\xff\xfe\x80" + NAME.encode("utf-16-le")),
    "Latin-1 in a copy inside the building": lambda lab: file(lab, "nas/edf/a.dat", b"\xff" + NAME.encode("latin-1")),
    "Snakemake's metadata, named by a path": lambda lab: file(lab, snakemakes(f"hospital/{NAME}.edf")),
    "Snakemake's metadata, as escaped JSON": lambda lab: file(
        lab, snakemakes("a"), b'{"input": ["Zzyx-F\\u00e4hrlund", "Quill\\u00e9"]}'
    ),
    "Snakemake's pickles": lambda lab: file(
        lab, ".snakemake/iocache/latest.pkl", pickle.dumps({"a": [HARD_NAME.given]})
    ),
    "a vendor file's own name": lambda lab: file(lab, f"results/b0000000/vid/b0000000_1/{NAME}.erd"),
    "a restored text": lambda lab: file(lab, "restored/s3/a/snc/a.txt", HARD_NAME.mrn.encode()),
    "another registered person": lambda lab: file(lab, "results/a.json", PLAIN_NAME.surname.encode()),
    "an object's key": lambda lab: stored(lab, f"a/{PLAIN_NAME.surname}.edf"),
    "an object's metadata": lambda lab: stored(lab, "a/b", patient="blorptwill"),
    "an object's content": lambda lab: stored(lab, "a/b.txt", NAME.encode()),
    "an EDF header": lambda lab: stored(lab, "a/b.edf", b"0       " + HARD_NAME.mrn.encode().ljust(300) + b"\xff"),
    "what a command says": lambda lab: said(lab, f"no such file: /hospital/{NAME}~.edf"),
}


def test_the_check_finds_a_name_wherever_it_is_planted(lab: Lab) -> None:
    assert lab.leaks() == []
    missed = []
    for what, planted in LEAKS.items():
        with planted(lab):
            if not lab.leaks():
                missed.append(what)
        assert lab.leaks() == [], what
    assert missed == []


def test_the_check_leaves_alone_what_may_hold_names(lab: Lab) -> None:
    with (
        file(lab, "results/b0000000/vid/b0000000_1/b0000000_1.erd", NAME.encode()),
        file(lab, "restored/deep/b0000000_1_vid/vid/b0000000_1/b0000000_1.erd", NAME.encode()),
        file(lab, "nas/video/b0000000/b0000000_1/b0000000_1.erd", NAME.encode()),
        file(lab, f"private/{NAME}.tsv", NAME.encode()),
    ):
        (lab.folder / "private" / f"{NAME}.tsv").chmod(0o600)
        assert lab.leaks() == []


def test_the_check_notices_a_touched_raw_export_a_half_written_file_and_an_unfinished_upload(lab: Lab) -> None:
    raw = next(path for path in lab.export.folder.rglob("*.avi"))
    other, times = raw.with_suffix(".old"), (raw.stat().st_mtime_ns, raw.parent.stat().st_mtime_ns)
    for change, undo in (
        (lambda: raw.chmod(0o600), lambda: raw.chmod(0o640)),
        (lambda: set_time(raw, 1), lambda: set_time(raw, times[0])),
        (lambda: raw.rename(other), lambda: other.rename(raw)),
    ):
        change()
        with pytest.raises(AssertionError, match="raw export"):
            lab.check()
        undo()
        set_time(raw.parent, times[1])
        lab.check()
    with file(lab, "results/.a.tsv.0a0a0a0a.part~"), pytest.raises(AssertionError, match="part~"):
        lab.check()
    lab.check()
    upload = lab.client.create_multipart_upload(Bucket=lab.buckets[0], Key="a")
    with pytest.raises(AssertionError, match="unfinished"):
        lab.check()
    lab.client.abort_multipart_upload(Bucket=lab.buckets[0], Key="a", UploadId=upload["UploadId"])


def set_time(path: Path, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns))
