"""ecogvault: hospital exports in, de-identified, encrypted and proven copies out.

Modules, in the order in which data flows (an import never points back up):
registry, intake, natus, edf, naming, phi, manifest, age, tarball, statement, stores, transfer, ledger, restore,
report, sandbox, audit, scripting, cli. Below them all lie the foundations: errors, files, records, config, paths.
"""

__version__ = "0.1.0"
