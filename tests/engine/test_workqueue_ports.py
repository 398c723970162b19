"""Of a range of ports the manager takes one that it can have, whoever looks for one at the same moment."""

from __future__ import annotations

import subprocess
import sys

from e2e.processes import free_ports

# Another process begins to listen on the first port after this one was bound to it.
LATE = """
import socket
import sys

from shadho_like.engine import workqueue_manager

lowest = int(sys.argv[1])
of_work_queue = socket.create_server(("127.0.0.1", 0))
usual, rivals = socket.socket.listen, []


def listen(self, backlog):
    if not rivals:
        rivals.append(socket.socket())
        rivals[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rivals[0].bind(self.getsockname())
        usual(rivals[0], 1)
    usual(self, backlog)


socket.socket.listen = listen
print(workqueue_manager._listen("127.0.0.1", lowest, lowest + 99))
print(rivals[0].getsockname()[1])
"""


def test_a_port_that_another_takes_meanwhile_is_passed_over() -> None:
    with free_ports(1) as [lowest]:
        ran = subprocess.run([sys.executable, "-c", LATE, str(lowest)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    ours, rivals = (int(line) for line in ran.stdout.splitlines())
    assert lowest <= rivals < ours <= lowest + 99
