"""What a run's end tells of jobs that could not say themselves why they failed."""

from pathlib import Path

from ecogvault.closing import Failure, own_command, unexplained

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


def test_the_command_to_type_again_is_the_one_that_was_typed_with_what_has_to_be_different() -> None:
    typed = ["--configfile", "my lab.yaml", "-C", "subject=df5c5206", "from=any", "--", "restore"]
    assert own_command(typed) == "snakemake --configfile 'my lab.yaml' -C subject=df5c5206 from=any -- restore"
    changed = own_command(typed, **{"from": "nas", "adopted": "yes"})
    assert changed == "snakemake --configfile 'my lab.yaml' -C from=nas adopted=yes subject=df5c5206 -- restore"
    # Where a file of the lab's says what is to be restored.
    for words in (["restore", "--cores", "2"], ["--cores", "2", "--", "restore"]):
        assert "--cores 2 --config from=nas" in own_command(words, **{"from": "nas", "file": None})
