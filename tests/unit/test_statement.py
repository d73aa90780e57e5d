"""Seal statements: forged, swapped and replayed ones are refused by name; the key is made once."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.digests import TreeHash
from ecogvault.records import FIRST, canonical, parse_record, record_bytes, with_digest
from ecogvault.statement import (
    SigningKeyError,
    StatementError,
    make_statement,
    pin_signer,
    public_text,
    read_signers,
    signing_key,
    statement_sha256,
    tree_of_files,
    verify_statement,
)

KEY = Ed25519PrivateKey.generate()
SIGNER = public_text(KEY)
EXPECTED = {
    "unit": "df5c5206_3_vid",
    "generation": 2,
    "form": "tarball",
    "manifest_sha256": "11" * 32,
    "sha256_tree": "22" * 32,
    "previous": FIRST,
}


def made(key: Ed25519PrivateKey = KEY, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {**EXPECTED, "recipients": ["0123456789abcdef"], "at": "2026-03-02T09:10:11Z", **changes}
    return make_statement(key=key, **values)


def test_a_statement_is_believed_through_its_file_form() -> None:
    record = parse_record(record_bytes(made()), what="statement")
    assert verify_statement(record, [SIGNER], **EXPECTED) == made()


def test_the_signature_is_ed25519_over_the_canonical_rest() -> None:
    record = made()
    signed = {key: value for key, value in record.items() if key not in ("signature", "self_sha256")}
    KEY.public_key().verify(bytes.fromhex(record["signature"]), canonical(signed))


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("unit", "df5c5206_4_vid"),
        ("generation", 1),
        ("form", "files"),
        ("manifest_sha256", "33" * 32),
        ("sha256_tree", "33" * 32),
        ("previous", "33" * 32),
    ],
)
def test_a_genuine_statement_about_something_else_is_refused_by_what_differs(key: str, other: Any) -> None:
    with pytest.raises(StatementError, match=f"genuine.*{key} {other}"):
        verify_statement(made(**{key: other}), [SIGNER], **EXPECTED)


@pytest.mark.parametrize("key", sorted(set(made()) - {"self_sha256", "schema", "signer"}))
def test_a_statement_with_any_value_changed_is_refused(key: str) -> None:
    record = made()
    value = record[key]
    changed = {
        "generation": 3,
        "form": "files",
        "recipients": ["ffff"],
        "unit": EXPECTED["unit"],
    }.get(key)
    if changed is None:
        changed = value[:-1] + ("0" if value[-1] != "0" else "1")
    if key == "unit":
        record = made(unit="df5c5206_4_vid")
    with pytest.raises(StatementError, match="forged or damaged"):
        verify_statement(
            with_digest(record | {key: changed}),
            [SIGNER],
            **(EXPECTED | {key: changed} if key in EXPECTED else EXPECTED),
        )


def test_a_statement_by_another_key_is_refused_also_when_it_claims_to_be_ours() -> None:
    theirs = Ed25519PrivateKey.generate()
    with pytest.raises(StatementError, match=r"not in signers\.txt"):
        verify_statement(made(theirs), [SIGNER], **EXPECTED)
    with pytest.raises(StatementError, match="forged or damaged"):
        verify_statement(with_digest(made(theirs) | {"signer": SIGNER}), [SIGNER], **EXPECTED)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "ecogvault-statement 2"},
        {"generation": True},
        {"generation": 0},
        {"form": "disk"},
        {"unit": 7},
        {"signer": "xy"},
        {"signature": "00"},
        {"recipients": "all"},
        {"extra": 1},
    ],
)
def test_what_is_not_a_statement_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(StatementError, match="not a record of schema"):
        verify_statement(made() | changes, [SIGNER], unit=EXPECTED["unit"])


def test_statements_are_chained_by_the_digest_of_the_whole_record() -> None:
    first = made()
    second = made(previous=statement_sha256(first), generation=3)
    assert second["previous"] == first["self_sha256"]
    assert statement_sha256(first | {"signature": "0" * 128}) != statement_sha256(first)


@given(
    st.dictionaries(st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"])), st.just("ab" * 32))
)
def test_the_tree_of_files_is_the_tree_hash_over_sorted_lines(objects: dict[str, str]) -> None:
    tree = TreeHash()
    tree.update("".join(f"{key}\t{objects[key]}\n" for key in sorted(objects)).encode())
    assert tree_of_files(reversed(list(objects.items()))) == tree.hexdigest()


def test_a_doubled_or_forged_key_has_no_tree() -> None:
    for objects in ([("a", "1"), ("a", "2")], [("a\tb", "1")], [("a\nb", "1")]):
        with pytest.raises(ValueError, match="unique"):
            tree_of_files(objects)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_pinned(tmp_path: Path) -> None:
    path, signers = tmp_path / "signing.key", tmp_path / "signers.txt"
    signers.write_text("# archive machines\n" + "ab" * 32)
    key = signing_key(path, signers=signers, comment="archive 1\nmade here")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_text(signing_key(path, signers=signers)) == public_text(key)
    assert read_signers(signers) == ["ab" * 32, public_text(key)]
    assert signers.read_text().endswith(f"\n{public_text(key)}  # archive 1 made here\n")


RACE = """
import sys
from pathlib import Path
from ecogvault.statement import public_text, signing_key
folder = Path(sys.argv[1])
sys.stdin.readline()
print(public_text(signing_key(folder / "signing.key", signers=folder / "signers.txt")))
"""


def test_processes_that_need_the_key_at_once_get_one_key(tmp_path: Path) -> None:
    scripts = str(Path(__file__).parents[2] / "scripts")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, tmp_path],
            env={"PYTHONPATH": scripts},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for run in runs:
        assert run.stdin
        run.stdin.write("go\n")
        run.stdin.flush()
    keys = {run.communicate()[0].strip() for run in runs}
    assert len(keys) == 1
    assert read_signers(tmp_path / "signers.txt") == list(keys)


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    signing_key(path)
    path.chmod(0o644)
    with pytest.raises(SigningKeyError, match="chmod 600"):
        signing_key(path)
    path.chmod(0o600)
    path.write_text("not a key")
    with pytest.raises(SigningKeyError, match="not an Ed25519 key"):
        signing_key(path)
    assert path.read_text() == "not a key"


def test_signers_are_only_added(tmp_path: Path) -> None:
    path = tmp_path / "signers.txt"
    assert pin_signer(path, SIGNER, "first")
    assert not pin_signer(path, SIGNER, "again")
    assert read_signers(path) == [SIGNER]
    with pytest.raises(SigningKeyError, match="64 hex"):
        pin_signer(path, json.dumps("no"))
    path.write_text(f"{SIGNER}\n\nnot a key # x\n")
    with pytest.raises(SigningKeyError, match="line 3"):
        read_signers(path)
