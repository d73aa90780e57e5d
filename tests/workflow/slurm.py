"""A Slurm cluster of one machine, in a folder of its own: munged, slurmctld and slurmd on 127.0.0.1.

Debian's slurm-wlm and munge; neither systemd nor cgroups nor root is needed, and nothing outside the folder is
touched. Settings: slurm.conf(5), Slurm 22.05.
"""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecogvault.sandbox.processes import end, free_ports, spawn

SECONDS = 30.0  # to start, or to end all jobs
PARTITION = "lab"
CPUS = 16  # what the node claims to have: no job waits for another, and a run takes few looks at the queue

CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName={partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def sbin(program: str) -> str:
    """A daemon's path: /usr/sbin is not on everybody's PATH."""
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    assert found, f"{program} is not installed: apt-get install slurm-wlm munge"
    return found


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Look again and again, until the condition holds; an error that says `what` if it never does."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, f"not within {seconds:.0f} s: {what}"
        threading.Event().wait(0.05)


@dataclass(frozen=True)
class Slurm:
    """A running cluster. Whoever has `environment` in theirs talks to it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What tells Slurm's commands which cluster is meant, and the way to them."""
        path = [str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": os.pathsep.join(path)}

    def ask(self, *words: str) -> str:
        """What one of Slurm's commands says. Raises CalledProcessError."""
        return subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True, timeout=SECONDS
        ).stdout

    def answers(self) -> bool:
        """Whether controller and node are up."""
        try:
            return self.ask("sinfo", "--noheader", "--format=%T").strip() == "idle"
        except subprocess.CalledProcessError:
            return False

    def jobs(self, states: str = "PENDING,RUNNING,COMPLETING") -> list[str]:
        """The ids of jobs in these states, oldest first."""
        return sorted(self.ask("squeue", "--noheader", "--format=%i", f"--states={states}").split(), key=int)

    def hold(self) -> None:
        """From now on jobs wait; those that run go on."""
        self.ask("scontrol", "update", f"PartitionName={PARTITION}", "State=DOWN")

    def go_on(self) -> None:
        """Waiting jobs are started again."""
        self.ask("scontrol", "update", f"PartitionName={PARTITION}", "State=UP")

    def cancel(self, comment: str) -> None:
        """End the jobs with this comment, as an administrator may."""
        lines = self.ask("squeue", "--noheader", "--format=%i %k").splitlines()
        self.ask("scancel", *(line.split()[0] for line in lines if line.split()[1:] == [comment]))

    def description(self) -> str:
        """All that the cluster tells anybody about jobs: names, comments, commands, folders."""
        return self.ask("scontrol", "show", "job", "--details")

    def script(self, job: str) -> str:
        """A job's script, as its owner and the cluster's administrators can read it."""
        return self.ask("scontrol", "write", "batch_script", job, "-")


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """A cluster in `folder` (new), ended with all its jobs at the end of the block."""
    folder.mkdir(mode=0o755)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    controller_port, node_port = free_ports(2)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            controller_port=controller_port,
            node_port=node_port,
            user=getpass.getuser(),
            folder=folder,
            cpus=CPUS,
            partition=PARTITION,
        )
    )
    # snakemake-executor-plugin-slurm-jobstep 0.6.1 starts srun without SLURM_CONF: on a real cluster it lies in /etc.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    slurm = Slurm(folder)
    munge = [f"--{name}={folder / f'munge.{name[:4]}'}" for name in ("pid-file", "log-file", "seed-file")]
    munge += [f"--key-file={key}", f"--socket={folder / 'munge.socket'}"]
    with ExitStack() as started:

        def start(*words: str) -> None:
            log = folder / f"{Path(words[0]).name}.out"
            environment = {**os.environ, **slurm.environment}
            process = spawn(words, environment=environment, folder=folder, log=log)
            started.callback(end, process)

        # --force: folders above a temporary one may be open to more people than munge likes.
        start(sbin("munged"), "--foreground", "--force", *munge)
        wait_until((folder / "munge.socket").is_socket, "munged listens")
        start(sbin("slurmctld"), "-D", "-i")
        start(sbin("slurmd"), "-D")
        wait_until(slurm.answers, "Slurm's controller and node are up")
        try:
            yield slurm
        finally:
            # A job's own processes are in sessions of their own: they end by the cluster's hand.
            slurm.ask("scancel", f"--user={getpass.getuser()}")
            wait_until(lambda: not slurm.jobs(), "all jobs of the cluster have ended")
