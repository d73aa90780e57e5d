"""Free text in annotations keeps a recording from leaving plain until a person has decided, by the real commands."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import edfio
import mne
import pyedflib
import pytest
from lab import Job, Lab

from ecogvault import audit
from ecogvault.edf import annotations
from ecogvault.ledger import copies
from ecogvault.naming import Unit
from ecogvault.private import open_private
from ecogvault.sandbox.export import HARD_NAME

WORDS = ("Wimblequist waves", "asks for tea again")  # nobody who is registered


def annotated(make: Callable[..., Lab]) -> tuple[Lab, Unit]:
    """A lab with one recording, in which two texts are free, one of them twice; `deep` takes recordings only."""
    lab = make(free_texts=(WORDS[0], WORDS[1], WORDS[0]))
    for destination in lab.settings["destinations"].values():
        destination["kinds"] = ["edf"]
    lab.configure()
    return lab, Unit(lab.code(), 1, "edf")


def listed(lab: Lab, *words: str) -> dict[str, str]:
    """Ids by text, as `ecogvault review --reveal` shows them. What it shows is no leak: it was asked for."""
    run = lab.ecogvault("review", lab.code(), "--reveal", *words)
    return {text: one for one, text in re.findall(r'^([af][0-9a-f]{12})  .*: "(.*)"$', run.output, re.MULTILINE)}


def places(lab: Lab, unit: Unit) -> dict[str, list[int]]:
    """The generations that each destination holds, by its ledger."""
    return {name: sorted(copies(lab.paths.ledger(name, unit))) for name in lab.settings["destinations"]}


def readable(path: Path) -> dict[str, object]:
    """Samples and annotations as three other programs read them."""
    with pyedflib.EdfReader(str(path)) as reader:
        found: dict[str, object] = {
            "pyedflib": [reader.readSignal(i, digital=True).tobytes() for i in range(reader.signals_in_file)],
            "pyedflib's": list(reader.readAnnotations()[2]),
        }
    edf = edfio.read_edf(path)
    found |= {"edfio": [one.digital.tobytes() for one in edf.signals], "edfio's": [one.text for one in edf.annotations]}
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    return found | {"mne": raw.get_data().tobytes(), "mne's": [str(text) for text in raw.annotations.description]}


@pytest.mark.slow
def test_a_recording_with_free_text_waits_for_a_person_only_where_it_would_leave_plain(
    make: Callable[..., Lab],
) -> None:
    lab, unit = annotated(make)
    failed = lab.snakemake(check=False)
    assert failed.status != 0
    assert places(lab, unit) == {"s3": [], "deep": [1], "nas": [1]}
    code = unit.code
    assert any("s3" in line and f"`ecogvault review {code}`" in line for line in failed.ours if "failed" in line)
    assert any(line.startswith("waiting: free text") and f"ecogvault review {code}" in line for line in failed.ours)
    assert not any(word in failed.output for word in WORDS)

    # Without a terminal and without --reveal there are ids, and no texts.
    quiet = lab.ecogvault("review", code)
    assert not any(word in quiet.output for word in WORDS)
    ids = listed(lab)
    assert set(ids) == set(WORDS)
    assert all(one in quiet.output for one in ids.values())

    before = lab.paths.subject(code) / f"edf/{unit.session}.edf"
    original = readable(before)
    lab.ecogvault("review", code, "--accept", ids[WORDS[1]], "--redact", ids[WORDS[0]])
    assert lab.ecogvault("review", code).ours == []
    # The redacted recording is made and sent anew, and nothing else.
    chain = {Job(rule, str(unit)) for rule in ("deidentify_edf", "scan_unit", "seal_unit")}
    planned = chain | {Job("upload_unit", str(unit), name) for name in ("s3", "deep", "nas")}
    assert set(lab.dry_run()) == planned
    assert set(lab.snakemake().jobs) == planned
    assert places(lab, unit) == {"s3": [2], "deep": [1, 2], "nas": [1, 2]}
    assert lab.dry_run() == []

    bucket = lab.settings["destinations"]["s3"]["bucket"]["edf"]
    (sent,) = [one for key, one in lab.objects(bucket).items() if key.endswith(".edf")]
    assert WORDS[0].encode() not in sent.content
    assert WORDS[1].encode() in sent.content
    copy = lab.folder / "copy.edf"
    copy.write_bytes(sent.content)
    now = readable(copy)
    for name in ("pyedflib's", "edfio's", "mne's"):
        texts = original.pop(name)
        assert WORDS[0] in texts  # type: ignore[operator]
        assert now.pop(name) == ["X" * len(WORDS[0]) if text == WORDS[0] else text for text in texts]  # type: ignore[attr-defined]
    assert now == original

    # Taking the redaction back makes it anew once more, with the text; the decision is in private/, not in results/.
    lab.ecogvault("review", code, "--undo", ids[WORDS[0]])
    assert Job("deidentify_edf", str(unit)) in lab.dry_run()
    verbs = {line["verb"] for line in audit.check(open_private(lab.config))}
    assert {"review --reveal", "review --accept", "review --redact", "review --undo"} <= verbs


@pytest.mark.slow
def test_what_is_accepted_or_waived_is_sent_by_the_next_run_and_nothing_is_made_again(make: Callable[..., Lab]) -> None:
    lab, unit = annotated(make)
    lab.snakemake(check=False)
    ids = listed(lab)
    code = unit.code
    refused = lab.ecogvault("review", code, "--waive", ids[WORDS[0]], check=False)
    assert refused.status != 0
    assert "--reason-file" in refused.output
    assert lab.ecogvault("review", code, "--accept", "a" + "0" * 12, check=False).status != 0
    lab.ecogvault("review", code, "--accept", ids[WORDS[1]], "--lab")
    still = lab.snakemake(check=False)
    assert still.jobs == [Job("upload_unit", str(unit), "s3")]
    assert still.status != 0
    lab.ecogvault("review", code, "--waive", ids[WORDS[0]], "--reason-file", "-", input="a dog, says the ward\n")
    assert lab.dry_run() == [Job("upload_unit", str(unit), "s3")]
    lab.snakemake()
    assert places(lab, unit) == {"s3": [1], "deep": [1], "nas": [1]}
    assert lab.dry_run() == []


@pytest.mark.slow
def test_a_name_in_an_annotation_cannot_be_accepted_and_decisions_outlive_the_results(make: Callable[..., Lab]) -> None:
    lab = make(name_in_annotations=True)
    for destination in lab.settings["destinations"].values():
        destination["kinds"] = ["edf"]
    lab.configure(accept="auto")
    code, unit = lab.code(), Unit(lab.code(), 1, "edf")
    assert lab.snakemake(check=False).status != 0
    (one,) = set(re.findall(r"^(a[0-9a-f]{12})  ", lab.ecogvault("review", code).output, re.MULTILINE))
    refused = lab.ecogvault("review", code, "--accept", one, check=False)
    assert refused.status != 0
    assert "redact it, or waive it" in refused.output
    lab.ecogvault("review", code, "--redact", one)
    lab.snakemake()
    assert lab.dry_run() == []
    made = (lab.paths.subject(code) / f"edf/{unit.session}.edf").read_bytes()
    assert any(text.is_redacted for text in annotations(lab.paths.subject(code) / f"edf/{unit.session}.edf"))

    # The results are lost, and come again as they were: nothing is sent, since the ledgers' objects are there.
    kept = places(lab, unit)
    shutil.rmtree(lab.paths.results)
    lab.snakemake()
    assert (lab.paths.subject(code) / f"edf/{unit.session}.edf").read_bytes() == made
    assert places(lab, unit) == {name: [max(generations)] for name, generations in kept.items()}
    assert HARD_NAME.surname.encode() not in made
    # What came to the NAS before somebody looked is still there, in the building, and nowhere else.
    earlier = lab.folder / "nas" / "superseded"
    assert {leak.where.partition("/edf/")[0] for leak in lab.leaks()} <= {f"nas/superseded/g{n}" for n in (1, 2)}
    shutil.rmtree(earlier)
