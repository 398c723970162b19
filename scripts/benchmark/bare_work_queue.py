"""A Work Queue script as one would write it by hand, for comparison: so many tasks with the same files, then the rate of their ends.

Run by whichever Python has Work Queue's module: `bare_work_queue.py TASKS COMMAND RESULT FILE...`. Prints its port first, tasks/s last.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

try:
    from ndcctools import work_queue
except ImportError:
    import work_queue

HYPERPARAMETERS = {"x": 0.123, "y": 0.00123, "z": 12}


def main(tasks: int, command: str, result: str, files: list[str]) -> None:
    """Run the tasks and print the rate over all but the first tenth."""
    queue = work_queue.WorkQueue(port=0)
    print(queue.port, flush=True)
    open_tasks, ends = 0, []
    for number in range(tasks):
        task = work_queue.Task(command)
        for file in files:
            task.specify_input_file(file, Path(file).name, cache=True)
        task.specify_buffer(json.dumps(HYPERPARAMETERS), "hyperparameters.json", cache=False)
        task.specify_buffer(json.dumps({"trial": number, "metric": "loss", "evaluations": 1}), "trial.json", cache=False)
        task.specify_output_file(f"result.{number}.json", result, cache=False)
        task.specify_cores(1)
        queue.submit(task)
        open_tasks += 1
        while open_tasks >= 100 or (number == tasks - 1 and open_tasks):
            if done := queue.wait(1):
                if done.return_status:
                    sys.exit(done.output)
                json.loads(Path(f"result.{done.tag or done.id - 1}.json").read_text())
                ends.append(time.perf_counter())
                open_tasks -= 1
    skipped = tasks // 10
    print((tasks - skipped) / (ends[-1] - ends[skipped - 1]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
