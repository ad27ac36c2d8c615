"""Tasks worked on several at a time."""

from __future__ import annotations

import time
from pathlib import Path

from aecodec.jobs import local


def test_closing_the_run_drops_what_has_not_begun():
    done = []
    tasks = [local.Task(Path(str(n)), Path(str(n))) for n in range(50)]

    def work(task):
        time.sleep(0.01)
        done.append(task)
        return local.Outcome(task)

    running = local.run(tasks, work, 2)
    next(running)
    running.close()
    assert len(done) < 10
