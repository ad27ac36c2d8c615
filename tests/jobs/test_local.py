"""Tasks worked on several at a time, and counted to the last one."""

from __future__ import annotations

import pickle
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.command.options import JOBS, Batch
from aecodec.goals import Goal
from aecodec.jobs import loading, local
from aecodec.jobs.compress import Compress
from aecodec.jobs.decompress import Check, Decompress
from aecodec.jobs.loading import LoadedWhenUsed
from aecodec.jobs.local import Outcome, Status, Task


def tasks(count: int) -> list[Task]:
    return [Task(Path(str(n)), Path(f"{n}.out")) for n in range(count)]


def counted(outcomes: list[Outcome]) -> Counter[Status]:
    return Counter(outcome.status for outcome in outcomes)


@pytest.mark.parametrize("jobs", [1, 2, 4])
@pytest.mark.parametrize("keep_going", [True, False])
def test_every_task_has_one_outcome(jobs, keep_going):
    begun, outcomes, failed = [], [], threading.Event()

    def work(task):
        begun.append(task)
        if task.source.name == "7":
            raise aecodec.AecError("no")
        if int(task.source.name) > 7:
            failed.wait()  # or what begins meanwhile would depend on the machine
        return Outcome(task)

    def report(outcome):
        outcomes.append(outcome)
        if outcome.status == Status.FAILED:
            failed.set()

    assert local.run(tasks(40), work, jobs, keep_going, report) is False
    assert [outcome.task for outcome in outcomes] == tasks(40)
    counts = counted(outcomes)
    assert counts[Status.FAILED] == 1
    assert counts[Status.DONE] + 1 == len(begun)
    assert counts[Status.NOT_BEGUN] == 40 - len(begun)
    assert len(begun) == 40 if keep_going else 8 <= len(begun) < 8 + jobs


@pytest.mark.parametrize("keep_going", [True, False])
def test_problems_that_are_known_come_before_any_work(keep_going):
    some = [Task(Path("a"), Path("x")), Task(Path("b"), Path("y"), aecodec.AecError("no"))]
    told = []
    local.run(some, lambda task: told.append(task) or Outcome(task), 1, keep_going, told.append)
    assert told[0].error is some[1].problem
    if keep_going:
        assert told[1:] == [some[0], Outcome(some[0])]
    else:
        assert told[1:] == [Outcome(some[0], Status.NOT_BEGUN)]


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_interrupt_finishes_what_has_begun_and_counts_all(jobs):
    begun, outcomes = [], []

    def work(task):
        begun.append(task)
        if len(begun) == 5:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        return Outcome(task)

    assert local.run(tasks(50), work, jobs, True, outcomes.append) is True
    assert len(outcomes) == 50
    counts = counted(outcomes)
    assert counts[Status.NOT_BEGUN] == 50 - len(begun)
    assert counts[Status.BROKEN_OFF] == (1 if jobs == 1 else 0)
    assert counts[Status.DONE] == len(begun) - counts[Status.BROKEN_OFF]
    assert len(begun) < 15


def test_a_defect_is_not_taken_for_a_failure():
    def work(task):
        raise ZeroDivisionError

    for jobs in (1, 2):
        with pytest.raises(ZeroDivisionError):
            local.run(tasks(3), work, jobs, True, lambda _: None)


def test_work_runs_in_several_threads():
    met = threading.Barrier(3, timeout=30)

    def work(task):
        met.wait()
        return Outcome(task)

    outcomes: list[Outcome] = []
    local.run(tasks(3), work, 3, False, outcomes.append)
    assert counted(outcomes) == {Status.DONE: 3}


@pytest.mark.parametrize(("pictures", "pixels", "few"), [(3, 400_000, True), (1000, 400_000, False),
                                                         (3, 24_000_000, False), (1000, None, False)])
def test_little_work_takes_what_starts_quickest(monkeypatch, pictures, pixels, few):
    asked = []
    monkeypatch.setattr(loading, "load_codec", lambda *arguments: asked.append(arguments[-1]))
    LoadedWhenUsed("cpu", None, None, None, 2, pictures=pictures)(pixels)
    assert asked == [1 if few else pictures]


@pytest.mark.parametrize(("asked", "threads", "tasks", "expected"), [
    (None, 8, 1, 1), (None, 8, 2, 2), (None, 8, 100, JOBS), (None, 2, 100, 2), (None, 1, 100, 1), (7, 1, 100, 7)])
def test_pictures_share_the_threads(asked, threads, tasks, expected):
    assert Batch(jobs=asked, threads=threads).jobs_for(tasks) == expected
    assert LoadedWhenUsed("cpu", None, threads, None, expected)._share() == max(1, threads // expected)


def test_work_can_be_sent_elsewhere(photo, tmp_path):
    """Pickled before and after its codec is loaded; what arrives does the same."""
    source, coded, back = tmp_path / "a.png", tmp_path / "a.aec", tmp_path / "a.bmp"
    Image.fromarray(photo[:16, :24]).save(source)
    codec = LoadedWhenUsed("cpu", None, None, None, 1)
    work = Compress(codec, Goal(quality=30), force=True)
    outcome = pickle.loads(pickle.dumps(work))(Task(source, coded))
    first = coded.read_bytes()
    assert (outcome.facts["width"], outcome.facts["height"], outcome.bytes_written) == (24, 16, len(first))
    assert aecodec.read_header(first).quality == pytest.approx(30, abs=1)
    work(Task(source, coded))
    pickle.loads(pickle.dumps(work))(Task(source, coded))
    assert coded.read_bytes() == first
    pickle.loads(pickle.dumps(Decompress(codec, "BMP")))(Task(coded, back))
    assert np.array_equal(np.asarray(Image.open(back)), aecodec.Codec(device="cpu").decode(first, output="array"))
    assert pickle.loads(pickle.dumps(Check(codec)))(Task(coded, coded)).facts["mode"] == "RGB"
    assert pickle.loads(pickle.dumps(outcome)) == outcome
