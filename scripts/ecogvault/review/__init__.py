"""Free text in annotations, and what people have decided about it.

What an annotation says is nobody's business outside until it is on a list of harmless phrases (`phrases`), or a person
has looked at it (`decisions`): accepted the phrase, had it redacted, or let it pass with a reason. Source: DESIGN,
section 6, "The gate".
"""

from ecogvault.review.decisions import (
    Decisions,
    NotDecided,
    accept,
    read_decisions,
    redact,
    redaction_digest,
    redaction_edits,
    text_id,
    undo,
    undo_lab,
)
from ecogvault.review.phrases import BadPhrases, Phrases, digest, load
from ecogvault.review.texts import MORE, Text, texts_of, waiting

__all__ = [
    "MORE",
    "BadPhrases",
    "Decisions",
    "NotDecided",
    "Phrases",
    "Text",
    "accept",
    "digest",
    "load",
    "read_decisions",
    "redact",
    "redaction_digest",
    "redaction_edits",
    "text_id",
    "texts_of",
    "undo",
    "undo_lab",
    "waiting",
]
