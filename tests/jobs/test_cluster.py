"""The same job on Ray, from one S3 store to another: killed workers, a store that is away, an interrupt, reruns.

One Ray session with two workers and one moto server for all of it, started here.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import aecodec
from aecodec.command.main import main
from aecodec.errors import AecError
from aecodec.jobs import Decoder, Encoder, cluster, manifest, storage
from aecodec.jobs.listing import Listing
from aecodec.jobs.manifest import DONE, FAILED
from aecodec.jobs.objects import ObjectWork
from helpers import make_photo

ray = pytest.importorskip("ray")
s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")
sys.path.insert(0, str(Path(__file__).parent))
from job_codings import Reverse, nothing_refused  # noqa: E402

pytestmark = pytest.mark.slow
PICTURES, BROKEN = 200, (3, 50, 77, 111, 199)


class Store:
    """An S3 server in this process that counts what is written, and may be away for a while."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.app = DomainDispatcherApplication(create_backend_app)
        self.written: Counter[str] = Counter()
        self.refused = 0
        self.away_after: int | None = None  # writes, from which on it is away for a second
        self.away_until = 0.0
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.port}"

    def __call__(self, environ, start_response):
        if time.monotonic() < self.away_until:
            self.refused += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"]

        def started(status, headers, *more):
            if environ["REQUEST_METHOD"] == "PUT" and status.startswith("200"):
                self.written[environ["PATH_INFO"]] += 1
                if self.away_after is not None and self.written.total() >= self.away_after:
                    self.away_after, self.away_until = None, time.monotonic() + 1
            return start_response(status, headers, *more)

        return self.app(environ, started)


@pytest.fixture(scope="module")
def store():
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
                   "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled",
                   "PYTHONPATH": str(Path(__file__).parent)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        store = Store()
        patch.setenv("AWS_ENDPOINT_URL", store.url)
        storage._system.cache_clear()
        s3fs.S3FileSystem.clear_instance_cache()
        yield store
        store.server.shutdown()


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    """Small pictures by their keys, some of them broken."""
    photo = make_photo(264, 264)
    made = {}
    for number in range(PICTURES):
        out = io.BytesIO()
        Image.fromarray(photo[number:number + 64, 200 - number:264 - number]).save(out, "BMP")
        data = out.getvalue()
        made[f"{number % 7}/{number:03d}.bmp"] = data[:40] if number in BROKEN else data
    return made


@pytest.fixture(scope="module")
def files(store, pictures):
    """The store's file system, with the pictures in it."""
    files = s3fs.S3FileSystem(use_listings_cache=False)
    for bucket in ("photos", "coded"):
        files.mkdir(bucket)
    files.pipe({f"photos/{key}": data for key, data in pictures.items()})
    return files


@pytest.fixture(scope="module")
def session(store):
    # Before Ray, whose workers have the environment of who starts it.
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
             object_store_memory=80 * 2**20, _system_config={"metrics_report_interval_ms": 500})
    yield ray
    ray.shutdown()


def compress(source: str, output: str, *more: str):
    return CliRunner().invoke(main, ["compress", source, "--output-dir", output, "--engine", "onnx", "-q", "20",
                                     "--lossy", *more])


def clean_run(pictures: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """What comes of the pictures where nothing happens: a plain batch of files."""
    for key, data in pictures.items():
        (folder / "in" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / key).write_bytes(data)
    done = compress(str(folder / "in"), str(folder / "out"), "-r", "--jobs", "1", "--threads", "1")
    assert done.exit_code == 1
    return {path.relative_to(folder / "out").as_posix(): path.read_bytes() for path in folder.glob("out/*/*.aec")}


def table(files, output: str) -> dict[str, bytes]:
    """The objects of an output, by their keys below it."""
    keys = [key for key in files.find(f"coded/{output}") if manifest.FOLDER not in key]
    return {key.split("/", 2)[2]: data for key, data in zip(keys, files.cat(keys).values(), strict=True)}


def workers(store: Store) -> list[int]:
    """The processes of the actors that code for this store; Ray names them after what they do."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder.joinpath("cmdline").read_bytes().startswith(b"ray::MapWorker")
                    and f"AWS_ENDPOINT_URL={store.url}".encode() in folder.joinpath("environ").read_bytes()):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill_a_worker_after(store: Store, count: int) -> threading.Thread:
    def wait() -> None:
        while store.written.total() < count:
            time.sleep(0.02)
        os.kill(workers(store)[0], signal.SIGKILL)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_nothing_is_lost_or_done_twice(store, files, session, pictures, monkeypatch, tmp_path):
    clean = clean_run(pictures, tmp_path)
    assert sorted(clean) == sorted(f"{n % 7}/{n:03d}.aec" for n in range(PICTURES) if n not in BROKEN)

    # A worker is killed, the store is away for a second, and then who started it all is interrupted.
    from aecodec.command.object_reporting import ObjectReporter

    report, told = ObjectReporter.report, []

    def interrupted(self, line):
        told.append(line)
        report(self, line)
        if len(told) == 140:
            raise KeyboardInterrupt

    store.written.clear()
    store.away_after = 60
    job = ("s3://photos/", "s3://coded/killed/", "--ray")
    with monkeypatch.context() as patch:
        patch.setattr(ObjectReporter, "report", interrupted)
        killer = kill_a_worker_after(store, 30)
        done = compress(*job)
        killer.join()
    assert done.exit_code == 130, done.stderr
    assert store.refused > 0

    done = compress(*job, "--jobs", "1")
    assert done.exit_code == 1
    assert f"{len(BROKEN)} failed" in done.stdout
    assert [name for name in (f"{n:03d}.bmp" for n in BROKEN) if name not in done.stderr] == []
    assert table(files, "killed") == clean
    outputs = {key: count for key, count in store.written.items() if key.endswith(".aec")}
    assert len(outputs) == len(clean)
    assert set(outputs.values()) == {1}

    before = store.written.copy()
    done = compress(*job, "--jobs", "1")
    assert done.exit_code == 1
    assert f"0 objects compressed, {len(clean)} done already, {len(BROKEN)} failed" in done.stdout
    assert [key for key in (store.written - before) if key.endswith(".aec")] == []
    mark = json.loads(files.metadata("coded/killed/0/000.aec")["aecodec"])
    assert (mark["source"], mark["size"], mark["settings"]) == (
        "s3://photos/0/000.bmp", files.size("photos/0/000.bmp"), {"quality": 20, "lossless": False})
    assert mark["etag"] == files.info("photos/0/000.bmp")["ETag"].strip('"')

    port = session.nodes()[0]["MetricsExportPort"]
    told_metrics = wait_for_metrics(port)
    for name in ("objects_total", "bytes_in_total", "bytes_out_total", "pixels_total", "coding_seconds_bucket"):
        assert f"ray_aecodec_{name}{{" in told_metrics


def wait_for_metrics(port: int) -> str:
    """What Ray's exporter tells; it takes a moment to."""
    text = ""
    for _ in range(40):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        if "aecodec_objects" in text:
            break
        time.sleep(0.25)
    return text


def test_a_picture_that_kills_workers_does_not_stop_the_job(session, tmp_path):
    (tmp_path / "in").mkdir()
    for name, data in {"a.in": b"1", "b.in": b"fatal", "c.in": b"broken", "d.in": b"2"}.items():
        (tmp_path / "in" / name).write_bytes(data)
    listing = Listing((tmp_path / "in",), ".out", nothing_refused, folder=tmp_path / "out", recursive=True)
    told = []
    cluster.run(listing, ObjectWork(Reverse(), ".out"), 1, "auto", told.append)
    assert {Path(line.key).name: line.status for line in told} == {"a.in": DONE, "b.in": FAILED, "c.in": FAILED,
                                                                    "d.in": DONE}
    assert "the worker was killed 2 times" in next(line.error for line in told if "b.in" in line.key)


def test_the_codec_in_batches_of_ones_own(session, photo):
    out = io.BytesIO()
    Image.fromarray(photo[:40, :60]).save(out, "PNG")
    one = ray.data.ActorPoolStrategy(size=1)
    rows = [{"bytes": b"broken", "path": "b.png"}, {"bytes": out.getvalue(), "path": "a.png"}]
    coded = ray.data.from_items(rows).map_batches(Encoder, fn_constructor_kwargs={"engine": "onnx"}, compute=one)
    back = coded.map_batches(Decoder, fn_constructor_kwargs={"engine": "onnx"}, compute=one).take_all()
    back.sort(key=lambda row: -len(row["path"] + row["error"]))
    assert [(row["path"], row["image"].shape) for row in back] == [("b.png", (0, 0, 3)), ("a.png", (40, 60, 3))]
    assert "b.png is not a picture" in back[0]["error"]
    assert back[1]["error"] == ""
    assert np.array_equal(back[1]["image"], aecodec.Codec(engine="onnx").decode(back[1]["aec"], output="array"))


@pytest.mark.parametrize(("resources", "jobs", "device", "wanted"), [
    ({"CPU": 8.0}, None, "auto", cluster.Pool(8, 8, 0)),
    ({"CPU": 8.0}, 2, "auto", cluster.Pool(2, 2, 0)),
    ({"CPU": 8.0}, 64, "auto", cluster.Pool(8, 64, 0)),  # a cluster that grows
    ({"CPU": 64.0, "GPU": 4.0}, None, "auto", cluster.Pool(4, 4, 1)),
    ({"CPU": 64.0, "GPU": 4.0}, None, "cpu", cluster.Pool(64, 64, 0)),
])
def test_a_worker_a_core_or_a_gpu(resources, jobs, device, wanted):
    assert cluster.pool(resources, jobs, device) == wanted


def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(AecError, match="no GPU"):
        cluster.pool({"CPU": 8.0}, None, "cuda")
