"""A job on objects on Ray: listed in parts, worked on by a pool of actors that load the codec once each.

The work itself is that of `objects`, as on one machine (`processes`). What goes through Ray are addresses and lines of
the manifest; pictures go from the store to a worker and back.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..errors import AecError, MissingPackage
from .listing import Listing, ObjectTask, Unit
from .manifest import FAILED, Line
from .objects import ObjectWork, Worker
from .processes import MOST_ATTEMPTS, fatal

GROUP = 16  # tasks that a worker is sent at a time
LISTERS = 8  # parts listed at a time
UNITS_PER_WORKER = 4  # parts of the listing
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # bounds of the histogram

Report = Callable[[Line], None]


@dataclass(frozen=True)
class Pool:
    """The workers of a cluster: how many, and what each of them holds."""

    least: int  # that there is room for now
    most: int  # an autoscaling cluster grows up to them
    gpus: float  # of each


def connect(address: str | None) -> None:
    """Join a cluster, or start Ray on this machine.

    Args:
        address: `auto`, `HOST:PORT`, `ray://HOST:PORT`, or `local`; None for `RAY_ADDRESS`, or else a new one here.

    Raises:
        MissingPackage: Ray is not installed.
        AecError: the cluster is not there.
    """
    ray = _ray()
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray reports over the network that it is used
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise AecError(f"Ray at {address or 'this machine'} cannot be joined: {error}; see `ray status`, or leave the "
                       "address out") from None


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingPackage(f"--ray needs Ray ({error}); pip install 'aecodec[ray]'") from None
    return ray


def pool(resources: dict[str, float], jobs: int | None, device: str) -> Pool:
    """The workers that a cluster has room for: one on each GPU, if it has some and they may be used, else one a core.

    Args:
        resources: of the cluster, as Ray names them.
        jobs: how many are wanted; None for as many as there is room for.
        device: where the network is to run: `auto`, `cpu` or `cuda`.

    Raises:
        AecError: there is no GPU, and there must be.
    """
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if device.startswith("cuda") and not gpus:
        raise AecError("the cluster has no GPU; leave --device out, or add nodes with one")
    on_gpus = gpus > 0 and device != "cpu"
    room = max(1, min(cores, gpus) if on_gpus else cores)
    return Pool(min(room, jobs or room), jobs or room, 1 if on_gpus else 0)


def run(listing: Listing, work: ObjectWork, jobs: int | None, device: str, report: Report) -> None:
    """Work through a listing on the cluster that `connect` has joined.

    Args:
        listing: what is to be done.
        work: what is done; pickled for the workers.
        jobs: how many workers, of one core or GPU each; None for as many as there is room for.
        device: see `pool`.
        report: receives one line or more for every task, as they come.

    Raises:
        AecError: the inputs cannot be listed, or the cluster has failed.
    """
    ray = _ray()
    workers = pool(ray.cluster_resources(), jobs, device)
    units = listing.units(UNITS_PER_WORKER * workers.least)
    # A setting of this process: restored, since who calls may use Ray Data besides.
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars, context.target_max_block_size
    # A row is a group of tasks, and a block a row: what one worker is sent.
    context.enable_progress_bars, context.target_max_block_size = False, 1
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ledger = ray.remote(_Ledger).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    try:
        for row in _lines(ray, units, listing, work, workers, ledger):
            for line in pickle.loads(row):
                report(line)
    except ray.exceptions.RayError as error:
        raise AecError(f"the cluster has failed: {str(error).splitlines()[0]}; run the same command again, and what is "
                       "done stays done") from None
    finally:
        context.enable_progress_bars, context.target_max_block_size = before
        ray.kill(ledger)


def _lines(ray: Any, units: Sequence[Unit], listing: Listing, work: ObjectWork, workers: Pool, ledger: Any,
           ) -> Iterator[bytes]:
    from ray.data import ActorPoolStrategy, TaskPoolStrategy

    units_data = ray.data.from_items([{"unit": pickle.dumps(unit)} for unit in units], override_num_blocks=len(units))
    # Without a core of their own: workers have them all, and what lists waits for the store anyway.
    groups = units_data.map_batches(_Lister(listing), batch_size=1, num_cpus=0,
                                    compute=TaskPoolStrategy(min(LISTERS, len(units))))
    lines = groups.map_batches(
        _Actor, batch_size=None, fn_constructor_args=(work, ledger), num_cpus=1, num_gpus=workers.gpus or None,
        compute=ActorPoolStrategy(min_size=workers.least, max_size=workers.most, max_tasks_in_flight_per_actor=2))
    for batch in lines.iter_batches(batch_size=None, prefetch_batches=0):
        yield from batch["lines"]


class _Lister:
    """Lists parts of the inputs; gives groups of tasks."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        for unit in batch["unit"]:
            items = self._items(pickle.loads(unit))
            while group := list(islice(items, GROUP)):
                yield {"group": [pickle.dumps(group)]}

    def _items(self, unit: Unit) -> Iterator[ObjectTask | Line]:
        try:
            yield from self.listing.tasks(unit)
        except AecError as error:
            yield Line(str(unit.place), FAILED, error=str(error))


class _Ledger:
    """Remembers what was begun and not ended: a picture that ends its worker must not end one after the other."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}

    def begin(self, name: str) -> int:
        """How often it was begun, this time included."""
        self.begun[name] = self.begun.get(name, 0) + 1
        return self.begun[name]

    def end(self, name: str) -> None:
        self.begun.pop(name, None)


class _Actor:
    """A worker. Ray starts it again where it was killed, and sends it again what it was at."""

    def __init__(self, work: ObjectWork, ledger: Any) -> None:
        self.worker, self.ledger, self.metrics = Worker(work), ledger, _Metrics()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"lines": [pickle.dumps(list(self._lines(group))) for group in batch["group"]]}

    def _lines(self, group: bytes) -> Iterator[Line]:
        name = hashlib.sha256(group).hexdigest()
        items = pickle.loads(group)
        yield from (item for item in items if isinstance(item, Line))
        tasks = [item for item in items if isinstance(item, ObjectTask)]
        again = self._begin(name) > 1
        for lines in self._one_by_one(tasks) if again else self.worker(tasks):
            self.metrics.add(lines)
            yield from lines
        self.ledger.end.remote(name)

    def _one_by_one(self, tasks: Sequence[ObjectTask]) -> Iterator[list[Line]]:
        for task in tasks:
            name = str(task.source)
            if self._begin(name) > MOST_ATTEMPTS:
                yield [fatal(task, MOST_ATTEMPTS)]
            else:
                yield from self.worker([task])
            self.ledger.end.remote(name)

    def _begin(self, name: str) -> int:
        import ray

        return int(ray.get(self.ledger.begin.remote(name)))


class _Metrics:
    """What Ray's exporter tells Prometheus of a worker; Ray puts `ray_` in front of the names."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Histogram

        self.objects = Counter("aecodec_objects", "Objects and pictures in shards, by what became of them.",
                               tag_keys=("status",))
        self.bytes_in = Counter("aecodec_bytes_in", "Bytes of the inputs that were coded.")
        self.bytes_out = Counter("aecodec_bytes_out", "Bytes of the outputs that were written.")
        self.pixels = Counter("aecodec_pixels", "Pixels that were coded.")
        self.seconds = Histogram("aecodec_coding_seconds", "Seconds of coding an object.", boundaries=list(SECONDS))

    def add(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.objects.inc(1, tags={"status": line.status})
            if line.bytes_out:
                self.bytes_in.inc(line.bytes_in)
                self.bytes_out.inc(line.bytes_out)
                self.seconds.observe(line.seconds)
            if line.pixels:
                self.pixels.inc(line.pixels)
