"""A Grid Engine of one machine on the loopback address: its daemons run in a folder of their own, where the machine is called localhost.

Grid Engine asks for the name of each address and back, and gives up where the two differ, as they do on most machines for 127.0.0.1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.processes import Environment, free_ports, until
from parts import lack

# Debian's programs and, beside them, the texts from which a first configuration is made.
_PROGRAMS = Path("/usr/lib/gridengine")
_TEXTS = Path("/usr/share/gridengine")
Run = Callable[..., str]
_COMMANDS = ("qsub", "qstat", "qdel", "qconf")
_BOOTSTRAP = """
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         classic
spooling_lib            libspoolc
spooling_params         {root}/default/common;{root}/spool
binary_path             {root}/bin
qmaster_spool_dir       {root}/spool
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
jvm_threads             0
"""
_CONFIGURATION = {
    "execd_spool_dir": "{root}/execd",
    "mailer": "/bin/true",
    "xterm": "/bin/true",
    "min_uid": "0",
    "min_gid": "0",
}
_SMP = {
    "pe_name": "smp",
    "slots": "9",
    "allocation_rule": "$pe_slots",
    "control_slaves": "FALSE",
    "job_is_first_task": "TRUE",
    "urgency_slots": "min",
    "accounting_summary": "FALSE",
    **dict.fromkeys(("user_lists", "xuser_lists", "start_proc_args", "stop_proc_args", "qsort_args"), "NONE"),
}
_SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
_NONE = (
    "load_thresholds suspend_thresholds ckpt_list prolog epilog starter_method suspend_method resume_method terminate_method owner_list "
    "user_lists xuser_lists subordinate_list complex_values projects xprojects calendar"
)
_UNLIMITED = "rt cpu fsize data stack core rss vmem"
_QUEUE = {
    "qname": "all.q",
    "hostlist": "localhost",
    "seq_no": "0",
    "nsuspend": "1",
    "suspend_interval": "00:05:00",
    "priority": "0",
    "min_cpu_interval": "00:05:00",
    "processors": "UNDEFINED",
    "qtype": "BATCH",
    "pe_list": "smp",
    "rerun": "FALSE",
    "slots": "4",
    "tmpdir": "/tmp",
    "shell": "/bin/sh",
    "shell_start_mode": "unix_behavior",
    "notify": "00:00:20",
    "initial_state": "default",
    **dict.fromkeys(_NONE.split(), "NONE"),
    **{f"{kind}_{name}": "INFINITY" for name in _UNLIMITED.split() for kind in "sh"},
}


def need_sge() -> None:
    """Skip where there is no Grid Engine, or where its daemons cannot be run; fail in CI."""
    if not _PROGRAMS.joinpath("sge_qmaster").exists() or shutil.which("nsenter") is None:
        lack("Grid Engine is missing: apt-get install gridengine-master gridengine-exec gridengine-client")
    if os.getuid() != 0:
        lack("Grid Engine's daemons must be run by root")


@contextmanager
def running_sge(root: Path, environment: Environment) -> Iterator[Environment]:
    """Have a Grid Engine; yield the environment in which its commands find it, and end it with every job in the end."""
    with free_ports(2) as (master, node):
        ports = {"SGE_QMASTER_PORT": str(master), "SGE_EXECD_PORT": str(node)}
        with _daemons(root, {**environment, **ports, "SGE_ROOT": str(root), "SGE_CELL": "default", "SGE_ND": "1"}) as inside:
            yield inside


@contextmanager
def _daemons(root: Path, env: Environment) -> Iterator[Environment]:
    with suppress(FileExistsError):
        root.mkdir()
    holder = subprocess.Popen(["unshare", "--uts", "sh", "-c", "hostname localhost && echo && exec sleep infinity"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    inside = ["nsenter", f"--target={holder.pid}", "--uts"]
    daemons: list[subprocess.Popen[bytes]] = []

    def run(*command: str, check: bool = True) -> str:
        argv = [*inside, str(_PROGRAMS / command[0]), *command[1:]]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def daemon(name: str) -> None:
        with (root / f"{name}.log").open("wb") as log:
            daemons.append(subprocess.Popen([*inside, str(_PROGRAMS / name)], env=env, stdout=log, stderr=log))

    try:
        _make(root, run)
        daemon("sge_qmaster")
        until(lambda: "localhost" in run("qconf", "-sh", check=False), f"a master; see {root}")
        _configure(root, run)
        daemon("sge_execd")
        until(lambda: re.search(r"all\.q@localhost .* lx-amd64 *$", run("qstat", "-f"), re.MULTILINE) is not None, f"a queue; see {root}")
        yield {**env, "PATH": f"{_wrappers(root, inside)}:{env['PATH']}"}
    finally:
        run("qdel", "-f", "-u", "root", check=False)
        for process in daemons:
            # They take ten seconds to end by themselves.
            process.kill()
            process.wait()
        holder.kill()
        holder.communicate()


def _make(root: Path, run: Run) -> None:
    for name in ("default/common", "spool/job_scripts", "execd", "bin"):
        (root / name).mkdir(parents=True)
    shutil.copytree(_TEXTS / "util", root / "util")
    architecture = subprocess.run([root / "util/arch"], capture_output=True, text=True, check=True).stdout.strip()
    (root / "bin" / architecture).symlink_to(_PROGRAMS)
    (root / "default/common/bootstrap").write_text(_BOOTSTRAP.format(root=root))
    configuration = {name: value.format(root=root) for name, value in _CONFIGURATION.items()}
    (root / "configuration").write_text(_changed((_TEXTS / "default-configuration").read_text(), configuration))
    run("spoolinit", "classic", "libspoolc", f"{root}/default/common;{root}/spool", "init")
    for what in (["configuration", f"{root}/configuration"], ["complexes", f"{root}/util/resources/centry"], ["managers", "root"]):
        run("spooldefaults", *what)
    run("spooldefaults", "usersets", f"{root}/util/resources/usersets")


def _configure(root: Path, run: Run) -> None:
    run("qconf", "-as", "localhost")
    (root / "smp").write_text(_lines(_SMP))
    run("qconf", "-Ap", str(root / "smp"))
    (root / "queue").write_text(_lines(_QUEUE))
    run("qconf", "-Aq", str(root / "queue"))
    (root / "scheduler").write_text(_changed(run("qconf", "-ssconf"), _SCHEDULER))
    run("qconf", "-Msconf", str(root / "scheduler"))


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _changed(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = re.sub(rf"^{name}\s.*$", f"{name} {value}", text, flags=re.MULTILINE)
    return text


def _wrappers(root: Path, inside: list[str]) -> Path:
    """Return a folder with the user's commands, which run where the machine is called localhost."""
    folder = root / "commands"
    folder.mkdir()
    for name in _COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {" ".join(inside)} {_PROGRAMS / name} "$@"\n')
        path.chmod(0o755)
    return folder
