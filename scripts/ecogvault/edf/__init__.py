"""EDF, EDF+ and BDF recordings: read the header, say when and whose, scrub it, and prove that nothing else changed.

Formats: Kemp et al. 1992 (EDF), Kemp and Olivan 2003 (EDF+, https://www.edfplus.info/specs/edfplus.html), and
BioSemi's 24-bit variant (BDF; BDF+ is EDF+ with 3-byte samples). Only the standard library is used, and no sample is
ever decoded: a recording of any length is handled in a few MiB.
"""

from ecogvault.edf.annotations import Annotation, annotation_places, annotations, redacted, redactions
from ecogvault.edf.deviations import Deviation, deviations
from ecogvault.edf.errors import BadRecording, NotProven, SourceChanged, WouldOverwrite
from ecogvault.edf.header import Header, Signal, parse_header, read_header
from ecogvault.edf.identification import Identification, identification, names_nobody, names_person
from ecogvault.edf.patch import Change, scrubbed_header
from ecogvault.edf.policy import Policy, PolicyError, read_policy, shipped
from ecogvault.edf.scrub import Scrubbed, scrub, scrub_file, scrubbed_sha256
from ecogvault.edf.timing import check_complete, duration, missing_bytes, start_of_recording

__all__ = [
    "Annotation",
    "BadRecording",
    "Change",
    "Deviation",
    "Header",
    "Identification",
    "NotProven",
    "Policy",
    "PolicyError",
    "Scrubbed",
    "Signal",
    "SourceChanged",
    "WouldOverwrite",
    "annotation_places",
    "annotations",
    "check_complete",
    "deviations",
    "duration",
    "identification",
    "missing_bytes",
    "names_nobody",
    "names_person",
    "parse_header",
    "read_header",
    "read_policy",
    "redacted",
    "redactions",
    "scrub",
    "scrub_file",
    "scrubbed_header",
    "scrubbed_sha256",
    "shipped",
    "start_of_recording",
]
