"""Who did what with names and plaintext: `private/audit.jsonl`, a journal in which every line holds the one before.

A line has `when` (UTC), `who` (the account that ran the program), `host`, `verb`, `code` and `reason`; the last two may
be null. Nothing in it names a patient. A removed last line is not visible in the chain itself.
Source: DESIGN, section 5.
"""

import os
import pwd
import socket
from pathlib import Path
from typing import Any

from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.private import Private, open_private
from ecogvault.records import append_journal, check_end, read_journal, utc_now

FILE = "audit.jsonl"
COLUMNS = ("when", "who", "host", "verb", "code", "reason")


class AuditRefused(EcogvaultError):
    """What must be written to the audit log cannot be, and so is not done."""


def log_path(private: Private) -> Path:
    """Where the audit log lies."""
    return private.root / FILE


def record(private: Private, verb: str, code: str | None = None, reason: str | None = None) -> None:
    """Add one line. `verb` is the command's, `code` a subject's, `reason` a word on why; none of them holds a name.

    Reads the last line only. Raises AuditRefused when this user may not write the log, Damaged when its last line is
    not whole, and OSError as it comes.
    """
    line = {"when": utc_now(), "who": account(), "host": socket.gethostname(), "verb": verb}
    try:
        with private.lock("audit"):
            append_journal(log_path(private), {**line, "code": code, "reason": reason}, **private.modes)
    except PermissionError:
        raise _refusal(private) from None


def record_here(config: Config, verb: str, code: str | None = None, reason: str | None = None) -> None:
    """As `record`, on a machine that has a private folder; one that only restores has none, and notes nothing."""
    if config.private.is_dir():
        record(open_private(config), verb, code, reason)


def refuse_unless_writable(private: Private) -> None:
    """Raise what `record` would raise, before something is done that must be recorded afterwards."""
    if not os.access(private.root, os.W_OK):
        raise _refusal(private)
    if log_path(private).exists():
        if not os.access(log_path(private), os.W_OK):
            raise _refusal(private)
        check_end(log_path(private))


def _refusal(private: Private) -> AuditRefused:
    return AuditRefused(
        f"this needs a line in {log_path(private)}, which you may not write: ask the owner of {private.root}"
    )


def check(private: Private) -> list[dict[str, Any]]:
    """All lines, oldest first, after the whole chain was checked. Raises Damaged naming the line, and OSError."""
    return read_journal(log_path(private))


def account() -> str:
    """The account of this process; unlike LOGNAME it cannot be set by hand."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
