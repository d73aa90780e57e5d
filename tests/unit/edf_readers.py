"""What three independent programs make of a recording: samples and annotations, or that they cannot open it."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pyedflib

Content = tuple[Any, ...]


def with_pyedflib(path: Path) -> Content:
    """Samples of every signal, annotations, start, and what scales the samples."""
    with pyedflib.EdfReader(str(path)) as reader:
        heads = [
            {key: value for key, value in head.items() if key not in ("transducer", "prefilter")}
            for head in reader.getSignalHeaders()
        ]
        samples = [reader.readSignal(index, digital=True).tobytes() for index in range(reader.signals_in_file)]
        notes = [part.tolist() for part in reader.readAnnotations()]
        return samples, notes, reader.getStartdatetime(), heads, reader.file_duration


def with_edfio(path: Path) -> Content:
    """The same by edfio, which has a reader for each format."""
    opened = (edfio.read_bdf if _is_bdf(path) else edfio.read_edf)(path)
    samples = [(signal.label, signal.digital.tobytes()) for signal in opened.signals]
    notes = [(one.onset, one.duration, one.text) for one in opened.annotations]
    return samples, notes, opened.starttime, opened.data_record_duration


def with_mne(path: Path) -> Content:
    """The same by MNE, in volts."""
    read = mne.io.read_raw_bdf if _is_bdf(path) else mne.io.read_raw_edf
    opened = read(path, preload=True, verbose="error", encoding="latin1")
    notes = opened.annotations
    data = np.ascontiguousarray(opened.get_data())
    return data.tobytes(), opened.ch_names, [notes.onset.tolist(), notes.duration.tolist(), list(notes.description)]


READERS: dict[str, Callable[[Path], Content]] = {"pyedflib": with_pyedflib, "edfio": with_edfio, "mne": with_mne}


def content(reader: str, path: Path) -> Content | None:
    """What a reader makes of a file; None where it cannot open it, for whatever reason of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return READERS[reader](path)
        except Exception:  # each of them raises what it likes on what it does not take
            return None


def _is_bdf(path: Path) -> bool:
    return path.suffix == ".bdf"
