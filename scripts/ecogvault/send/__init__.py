"""Sending a unit's objects to a store: a sealed tarball with its statement, or a set of files with theirs.

Beside what is archived lie, for each generation, the signed seal statement, and for files the encrypted manifest; a
plain HOW-TO-OPEN.txt stands at the root.
"""

from ecogvault.send.files import send_files
from ecogvault.send.shipment import Shipment, to_send
from ecogvault.send.tarball import send_tarball
from ecogvault.send.vault import send_to_vault

__all__ = ["Shipment", "send_files", "send_tarball", "send_to_vault", "to_send"]
