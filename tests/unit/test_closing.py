"""What a run's end tells of jobs that could not say themselves why they failed."""

from pathlib import Path

from ecogvault.closing import Failure, unexplained

SCAN = """\
Error in rule scan_unit:
    message: SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'. Detailed failure reason unavailable (status \
command is not 'sacct').For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 4
    input: results/df5c5206/manifest/df5c5206_1_edf.tsv
    output: results/df5c5206/phi/df5c5206_1_edf.json
    log: logs/scan_unit/df5c5206_1_edf.log, logs/slurm/rule_scan_unit/df5c5206_1_edf/7.log (check log file(s) for \
error details)
    external_jobid: 7
"""
KILLED = """\
[Sun Nov 22 11:15:48 2026]
Error in rule upload_unit:
    message: None
    jobid: 9
    output: results/df5c5206/receipts/nas/df5c5206_1_edf.json
    log: logs/upload_unit/nas/df5c5206_1_edf.log (check log file(s) for error details)
"""


def test_a_job_that_the_cluster_ended_is_named_with_what_the_cluster_said_and_the_cluster_s_log() -> None:
    assert unexplained(SCAN, set()) == [
        Failure(
            "scan_unit df5c5206_1_edf",
            "the cluster ended it: OUT_OF_MEMORY",
            Path("logs/slurm/rule_scan_unit/df5c5206_1_edf/7.log"),
        )
    ]


def test_a_killed_job_is_named_even_if_nobody_said_why() -> None:
    (found,) = unexplained(KILLED, set())
    assert found == Failure(
        "upload_unit nas df5c5206_1_edf", "it ended without a word", Path("logs/upload_unit/nas/df5c5206_1_edf.log")
    )


def test_a_job_that_ctrl_c_ended_before_it_could_write_its_log_was_interrupted() -> None:
    died = """RuleException:
CalledProcessError in file "rules/archive.smk", line 32:
Command 'set -euo pipefail;  python .snakemake/scripts/tmpa.upload_unit.py' died with <Signals.SIGINT: 2>.
"""
    log = Path("logs/upload_unit/nas/df5c5206_1_edf.log")
    assert unexplained(died + KILLED, set()) == [Failure("upload_unit nas df5c5206_1_edf", "interrupted", log)]
    # Another job's end says nothing of this one.
    assert [one.line for one in unexplained(died + SCAN + KILLED, set())][1] == "it ended without a word"


def test_a_job_whose_log_says_why_is_not_named_twice() -> None:
    (found,) = unexplained(SCAN + KILLED, {Path("logs/scan_unit/df5c5206_1_edf.log")})
    assert found.job == "upload_unit nas df5c5206_1_edf"


def test_a_job_that_went_well_when_it_was_tried_again_did_not_fail() -> None:
    assert unexplained(f"{SCAN}Finished jobid: 4 (Rule: scan_unit)\n", set()) == []
    assert len(unexplained(f"{SCAN}Finished jobid: 41 (Rule: scan_unit)\n", set())) == 1
    assert len(unexplained(f"Finished jobid: 4 (Rule: scan_unit)\n{SCAN}", set())) == 1
