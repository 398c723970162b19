"""A Slurm of one node on the loopback address, with two made-up GPUs: its daemons run in the foreground, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.processes import Environment, free_ports, until
from parts import lack

_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
_CONF = """
ClusterName=shadho
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
ReturnToService=2
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0,default_queue_depth=100
MessageTimeout=100
InactiveLimit=0
MinJobAge=300
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 Port={node} CPUs=4 RealMemory=4000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverTimeLimit=0
"""


class Slurm:
    """The daemons and the commands of one Slurm.

    Attributes:
        environment: in which its commands find it.
        daemons: its processes.
    """

    def __init__(self, folder: Path, environment: Environment) -> None:
        self._folder = folder
        self.environment = {**environment, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self, controller: int, node: int) -> None:
        """Start the daemons, each on its port, and return when the node takes jobs."""
        for name in ("state", "spool"):
            (self._folder / name).mkdir()
        for index in range(2):
            # As NVIDIA's devices, 195 being theirs: nothing is behind them here.
            os.mknod(self._folder / f"nvidia{index}", 0o666 | stat.S_IFCHR, os.makedev(195, index))
        (self._folder / "slurm.conf").write_text(_CONF.format(folder=self._folder, controller=controller, node=node))
        (self._folder / "gres.conf").write_text(f"NodeName=localhost Name=gpu File={self._folder}/nvidia[0-1]\n")
        (self._folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        self.daemons = [self._daemon("slurmctld", "-D", "-c"), self._daemon("slurmd", "-D", "-N", "localhost")]
        until(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%T", check=False), f"an idle node; see {self._folder}/*.log")

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of the commands; return what it printed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Return what Slurm says of a job: RUNNING, COMPLETED, ..."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return next(word.partition("=")[2] for word in words if word.startswith("JobState="))

    def _daemon(self, *command: str) -> subprocess.Popen[bytes]:
        path = f"{self.environment['PATH']}:/usr/sbin:/usr/local/sbin"
        with (self._folder / f"{command[0]}.log").open("wb") as log:
            program = shutil.which(command[0], path=path) or command[0]
            return subprocess.Popen([program, *command[1:]], env={**self.environment, "PATH": path}, stdout=log, stderr=log)


def need_slurm() -> None:
    """Skip where there is no Slurm, or where no daemon of it can be run; fail in CI."""
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    missing = [program for program in _PROGRAMS if shutil.which(program, path=path) is None]
    reason = f"{', '.join(missing)} missing: apt-get install slurm-wlm" if missing else "" if os.getuid() == 0 else "slurmd must be run by root"
    if reason:
        lack(reason)


@contextmanager
def running_slurm(folder: Path, environment: Environment) -> Iterator[Slurm]:
    """Have a Slurm, and end it with every job in the end."""
    slurm = Slurm(folder, environment)
    with free_ports(2) as ports:
        try:
            slurm.start(*ports)
            yield slurm
        finally:
            _end(slurm)


def _end(slurm: Slurm) -> None:
    slurm.run("scancel", "--signal=KILL", "--full", "--user=root", check=False)
    slurm.run("scancel", "--user=root", check=False)
    with suppress(AssertionError):
        until(lambda: not slurm.run("squeue", "--noheader", check=False), "an empty queue")
    for daemon in reversed(slurm.daemons):
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
