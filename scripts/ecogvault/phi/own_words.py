"""Words that are fixed parts of our own paths and of the EDF header, and so are nobody's name there.

A person called Ed is in every `edf/` path, and one called May in every header of a recording made in May.
Words are folded (lower case, no accents). Callers add what their configuration names, such as destinations.
"""

OWN_WORDS: frozenset[str] = frozenset(
    """
    edf bdf vid video sync snc vtc order manifest manifests sealed receipts receipt ledger phi transfer restored results
    registry names report reports logs log index statement statements superseded sessions units subjects raw audit
    files file tarball part session unit subject kind ecogvault
    order deidentify scan seal upload restore verify drill prune repair open how to
    avi erd etc eeg ent stc vt epo doc old txt tsv csv json jsonl xlsx html tar zst age gz
    s glacier azure nas deep inside outside x g i
    """.split()
)
"""Words of `{code}/{kind}/...`, rule names, file extensions (DESIGN, sections 4 and 5)."""

HEADER_WORDS: frozenset[str] = frozenset(
    """
    edf bdf edfc edfd startdate annotations annotation signal status biosemi x
    jan feb mar apr may jun jul aug sep oct nov dec
    eeg ecg ekg emg eog erg ref resp temp sao light event sound active electrode electrodes
    uv mv nv v k degc hz hp lp n nohp
    """.split()
)
"""Words of an EDF, EDF+ or BDF header: the fixed fields, the months of the recording field, label types and units
(EDF+ specification, section 2.1.3.3, and "standard texts and polarity rules")."""
