"""What very many pictures take: `python -m aecodec.bench.scale measure FOLDER`, then `... simulate`; see scale.md.

`measure` runs the command itself, from an S3 server that it starts to itself, in three ways: a plain local batch,
processes, Ray. It counts processor time, which other programs on the machine change less than seconds, and takes the
slope between few and many pictures, so that the start of each way is told apart from what a picture costs.
"""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

RESULTS = Path(__file__).parent / "results" / "scale.json"
COMMAND = (sys.executable, "-m", "aecodec")
GROUP = 16  # pictures that a worker is sent at a time: `aecodec.jobs.cluster.GROUP`
FEW, MANY = 1, 4  # copies of the folder's pictures


# -- measuring ------------------------------------------------------------------------------------------------------


class Watch:
    """Processor seconds and memory of a process and all below it, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        import psutil

        self.root, self.seconds, self.memory = psutil.Process(pid), {}, {}  # type: ignore[var-annotated]
        self.names: dict[int, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        import psutil

        while not self._stop.wait(0.1):
            try:
                for process in [self.root, *self.root.children(recursive=True)]:
                    times = process.cpu_times()
                    self.seconds[process.pid] = times.user + times.system
                    self.names[process.pid] = " ".join(process.cmdline()[:1])
                    resident = process.memory_info().rss
                    self.memory[process.pid] = max(resident, self.memory.get(process.pid, 0))
            except psutil.Error:
                continue  # gone meanwhile

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def watched(*arguments: str) -> dict[str, Any]:
    """Run the command: seconds, processor seconds, the most memory of a process that does the work."""
    began = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    watch = Watch(process.pid)
    out = process.communicate()[0]
    watch.end()
    assert process.returncode == 0, arguments
    workers = [pid for pid, name in watch.names.items() if name.startswith("ray::MapWorker")] or list(watch.memory)
    return {"seconds": time.perf_counter() - began, "processor_seconds": sum(watch.seconds.values()),
            "worker_memory": max(watch.memory[pid] for pid in workers), "summary": json.loads(out)}


@contextmanager
def s3_server() -> Iterator[None]:
    """An S3 server in a process of its own, which the environment names meanwhile."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    os.environ.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_DEFAULT_REGION="us-east-1",
                      AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", RAY_AUTH_MODE="disabled")
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()


def slope(name: str, few: dict[str, Any], many: dict[str, Any], pictures: int, megapixels: float) -> dict[str, Any]:
    """What a picture costs, and what the start does."""
    more = (MANY - FEW) * pictures
    each = (many["processor_seconds"] - few["processor_seconds"]) / more
    return {"way": name, "pictures": MANY * pictures, "seconds": round(many["seconds"], 1),
            "processor_seconds_each": round(each, 4),
            "processor_seconds_per_megapixel": round(each * pictures / megapixels, 4),
            "processor_seconds_of_start": round(few["processor_seconds"] - FEW * pictures * each, 1),
            "worker_memory_mb": round(many["worker_memory"] / 1e6)}


def listing_cost(objects: int) -> dict[str, float]:
    """Processor seconds and bytes of memory of listing a prefix, per object."""
    import tracemalloc

    import s3fs

    from aecodec.jobs import storage

    files = s3fs.S3FileSystem()
    files.mkdir("listed")
    files.pipe({f"listed/{number:07d}.jpg": b"x" for number in range(objects)})
    place = storage.Url("s3://listed/")
    began = time.process_time()
    storage.listing(place, place)
    seconds = time.process_time() - began
    tracemalloc.start()
    storage.listing(place, place)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"objects": objects, "processor_seconds_per_1000": round(1000 * seconds / objects, 4),
            "bytes_of_memory_each": round(memory / objects)}


def driver_cost(tasks: int) -> dict[str, float]:
    """Processor seconds that a driver of Ray spends on a group of pictures that are done already."""
    import ray

    from aecodec.jobs import cluster
    from aecodec.jobs.listing import Listing
    from aecodec.jobs.objects import ObjectWork

    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "in")
        inputs.mkdir()
        for number in range(tasks):
            (inputs / f"{number:06d}.in").write_bytes(b"x")
        cluster.connect("local")
        listing = Listing((inputs,), ".out", _nothing, folder=Path(folder, "out"), recursive=True)
        work = ObjectWork(_Copy(), ".out")
        cluster.run(listing, work, None, "cpu", lambda line: None)
        began, wall = time.process_time(), time.perf_counter()
        cluster.run(listing, work, None, "cpu", lambda line: None)
        groups = tasks / GROUP
        cost = {"groups": groups, "processor_seconds_each": round((time.process_time() - began) / groups, 5),
                "seconds": round(time.perf_counter() - wall, 1)}
        ray.shutdown()
    return cost


class _Copy:
    """The least work that there is."""

    def code(self, source: object, data: bytes) -> Any:
        from aecodec.jobs.coding import Made

        return Made(data)

    def settings(self) -> dict[str, Any]:
        return {}


def _nothing(_: object) -> None:
    return None


# -- simulating -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A job to simulate."""

    workers: int
    megapixels: float = 2.0  # of a picture, on average
    spread: float = 0.6  # of its logarithm
    seconds_per_megapixel: float = 0.5  # of a core
    seconds_each: float = 0.01  # besides
    head: float = 0.02  # seconds that the store takes to answer
    get: float = 0.05
    put: float = 0.06
    listers: int = 8
    page: float = 0.25  # seconds to list 1000 keys
    groups_a_second: float = 200.0  # that the driver can send out
    kills_an_hour: float = 0.0  # of a worker: spot instances that are taken away
    restart: float = 20.0  # seconds until a killed worker is back


def simulate(case: Case, pictures: int = 200_000, seed: int = 0) -> dict[str, float]:
    """Run a job in simulated time: groups are listed, sent out, worked on; workers are killed and come back.

    Returns:
        Pictures a second in the steady state (the first tenth is left out), and the shares of workers' time that are
        coding.
    """
    rng = np.random.default_rng(seed)
    groups = pictures // GROUP
    size = rng.lognormal(np.log(case.megapixels) - case.spread**2 / 2, case.spread, (groups, GROUP))
    code = size * case.seconds_per_megapixel + case.seconds_each
    # The next picture is looked up and read while one is coded; it is waited for where that takes longer.
    read = case.head + case.get * rng.gamma(4, 0.25, (groups, GROUP))
    took = (np.maximum(code, read) + case.put * rng.gamma(4, 0.25, (groups, GROUP))).sum(1) + read[:, 0]
    listed = np.arange(1, groups + 1) * GROUP / 1000 * case.page / case.listers
    sent = np.maximum(listed, np.arange(1, groups + 1) / case.groups_a_second)
    free = [(0.0, worker) for worker in range(case.workers)]
    ends = np.empty(groups)
    for group in range(groups):
        at, worker = heapq.heappop(free)
        end = max(at, sent[group]) + took[group]
        if case.kills_an_hour and rng.random() < took[group] * case.kills_an_hour / 3600:
            # Half of it was written on average, and is only looked up again.
            end += case.restart + GROUP / 2 * case.head
        ends[group] = end
        heapq.heappush(free, (end, worker))
    ends.sort()
    # Between the first workers' being busy and the last ones' being without work.
    first, last = min(groups // 10 + case.workers, groups // 2), groups - min(case.workers, groups // 4) - 1
    rate = (last - first) * GROUP / (ends[last] - ends[first])
    return {"pictures_a_second": rate, "coding_share": rate * float(code.mean()) / case.workers}


#: Dollars an hour, on demand in us-east-1, and vCPUs. List prices of 2024; look them up before you believe the result.
INSTANCES = {"c7g.4xlarge": (0.58, 16), "c7i.4xlarge": (0.714, 16), "c7a.4xlarge": (0.82112, 16)}
REQUESTS = {"GET, HEAD": 0.0004 / 1000, "PUT, LIST": 0.005 / 1000}  # dollars each, S3 standard


def request_cost() -> float:
    """Dollars for a million pictures: two listings of each, one look, one read, one write."""
    return 1e6 * (2 * REQUESTS["GET, HEAD"] + (1 + 2 / 1000) * REQUESTS["PUT, LIST"])


@click.group()
def main() -> None:
    """What very many pictures take."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def measure(folder: Path, out: Path) -> None:
    """Measure this machine with the pictures of a folder."""
    import s3fs
    from PIL import Image

    paths = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    megapixels = sum(float(np.prod(Image.open(path).size)) for path in paths) / 1e6
    ways: dict[str, dict[int, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary, s3_server():
        files = s3fs.S3FileSystem()
        for bucket in ("few", "many", "coded"):
            files.mkdir(bucket)
        for name, copies in (("few", FEW), ("many", MANY)):
            (local := Path(temporary, name)).mkdir()
            for number in range(copies):
                for path in paths:
                    (local / f"{number}-{path.name}").write_bytes(path.read_bytes())
            files.put(str(local), f"{name}/", recursive=True)
            common = ("--engine", "onnx", "--json", "--lossy")
            ways.setdefault("plain local batch", {})[copies] = watched(
                "compress", "-r", str(local), "--output-dir", f"{temporary}/out-{name}", "--jobs", "1", "--threads",
                "1", *common)
            source, target = f"s3://{name}/", "s3://coded/{}-" + name + "/"
            for jobs in (1, 2):
                ways.setdefault(f"processes, {jobs}", {})[copies] = watched(
                    "compress", source, "--output-dir", target.format(f"p{jobs}"), "--jobs", str(jobs), "--threads",
                    str(jobs), *common)
                ways.setdefault(f"Ray, {jobs}", {})[copies] = watched(
                    "compress", source, "--output-dir", target.format(f"r{jobs}"), "--ray", "local", "--jobs",
                    str(jobs), *common)
        listed = listing_cost(5000)
    result = {"pictures": len(paths), "megapixels": round(megapixels, 2), "load": os.getloadavg()[0],
              "ways": [slope(way, runs[FEW], runs[MANY], len(paths), megapixels) for way, runs in ways.items()],
              "listing": listed, "driver": driver_cost(4000)}
    out.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(json.dumps(result, indent=2))


@main.command("simulate")
@click.option("--measured", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--megapixels", default=2.0, show_default=True, help="Of a picture, on average.")
def simulate_command(measured: Path, megapixels: float) -> None:
    """Print the tables of scale.md."""
    found = json.loads(measured.read_text())
    ray = next(way for way in found["ways"] if way["way"] == "Ray, 1")
    base = Case(1, megapixels, seconds_per_megapixel=ray["processor_seconds_per_megapixel"],
                page=0.1 + found["listing"]["processor_seconds_per_1000"],
                groups_a_second=1 / found["driver"]["processor_seconds_each"])
    click.echo("| workers | pictures a second | of a worker's time coding | days for a billion |")
    click.echo("|---:|---:|---:|---:|")
    for workers, changes in ((16, {}), (256, {}), (1024, {}), (1024, {"kills_an_hour": 0.1}), (4096, {}),
                             (16384, {})):
        case = Case(**{**asdict(base), "workers": workers, **changes})
        result = simulate(case, max(200_000, 12 * workers * GROUP))
        name = f"{workers:,}" + (", a tenth of them lost every hour" if changes else "")
        click.echo(f"| {name} | {result['pictures_a_second']:,.0f} | {result['coding_share']:.0%} | "
                   f"{1e9 / result['pictures_a_second'] / 86400:,.1f} |")
    one = simulate(Case(**{**asdict(base), "workers": 256}))["pictures_a_second"] / 256
    click.echo("\n| instance | dollars an hour | dollars for a million pictures |\n|---|---:|---:|")
    for name, (dollars, cores) in INSTANCES.items():
        click.echo(f"| {name} | {dollars:g} | {dollars * 1e6 / (one * cores * 3600):.2f} |")
    click.echo(f"| requests to the store | | {request_cost():.2f} |")


if __name__ == "__main__":
    main()
