"""ecogvault: hospital exports in, de-identified, encrypted and proven copies out.

What happens to the data, in the order in which it happens; each module says more in its first lines.

    a person gets a code     person, registry
    the export is looked at  natus, synctext, edf: its formats; intake: items, start times, the accepted order
    it is de-identified      naming, place, deidentify, manifest, kept
    names are looked for     phi, gate; review, reviewing: what people decided about free text
    it is sealed             age, keys, tarball, statement, chain, archive
    copies are sent          layout, transfer, send, stores, ledger; costs and vault where that takes hours and money
    copies are proven        verify, rehash, evidence, drill; status tells how far; repair mends what was found wrong
    copies come back         restore; retrieve from what is archived; reidentify under the original names
    room is made             prune, prune_trees: sealed tarballs and coded files; cleanup: abandoned uploads
    things change            refresh: moved raw files; reseal, keycheck: keys; rebuild, registry_copy: a lost machine
    older copies             oldnames, legacy, estate

    run by                   workflow, closing (the Snakefile), scripting (rule scripts), cli and __main__ (the command)
    tried out with           sandbox: local servers and a made-up export
    stands on                errors, sizes, files, records, config, destination, paths, private, audit, digests, pool

The order of imports, which never point back up, is the list in tests/unit/test_house.py.
"""

__version__ = "0.1.0"
