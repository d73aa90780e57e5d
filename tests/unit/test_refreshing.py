"""Content of raw files under new times, compared with what was archived of them."""

from pathlib import Path

import pytest
from edf_builder import recording

from ecogvault.config import Config
from ecogvault.edf import BadRecording, scrub_file, scrubbed_sha256
from ecogvault.intake.refreshed import note_refreshed, read_refreshed, standing
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import open_private

CODE = "df5c5206"


def test_the_digest_of_a_scrubbed_copy_is_known_without_writing_it(tmp_path: Path) -> None:
    source = tmp_path / "source.edf"
    source.write_bytes(recording())
    done = scrub_file(source, tmp_path / "copy.edf", CODE)
    read: list[int] = []
    assert scrubbed_sha256(source, CODE, progress=read.append) == (done.sha256, done.changes)
    assert sum(read) > 0
    assert scrubbed_sha256(source, "a0000000")[0] != done.sha256
    source.write_bytes(recording()[:-300])
    with pytest.raises(BadRecording):
        scrubbed_sha256(source, CODE)


def test_a_refreshed_fingerprint_stands_for_its_own_unit_and_files_alone(tmp_path: Path) -> None:
    config = Config({"private": str(tmp_path / "private")})
    private = open_private(config, create=True)
    paths = Paths.of(config)
    unit, other = Unit(CODE, 1, "edf"), Unit(CODE, 2, "edf")
    assert read_refreshed(paths, CODE) == {}
    note_refreshed(private, paths, unit, "aaaaaaaaaaaa", "111111111111")
    note_refreshed(private, paths, unit, "bbbbbbbbbbbb", "111111111111")
    note_refreshed(private, paths, other, "aaaaaaaaaaaa", "222222222222")
    assert standing(paths, unit, "aaaaaaaaaaaa") == standing(paths, unit, "bbbbbbbbbbbb") == "111111111111"
    assert standing(paths, other, "aaaaaaaaaaaa") == "222222222222"
    assert standing(paths, other, "bbbbbbbbbbbb") == "bbbbbbbbbbbb"
