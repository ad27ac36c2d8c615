"""Jobs on objects: what is done, done again, left and refused; in this process and in others. No cluster."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import uuid
from pathlib import Path

import pytest
from PIL import Image

from aecodec.jobs import Decoder, Encoder, loading, manifest, processes, storage
from aecodec.jobs.listing import Listing
from aecodec.jobs.manifest import DONE, FAILED, SKIPPED, Line, Manifest
from aecodec.jobs.objects import ObjectWork
from aecodec.jobs.storage import Url
from aecodec.jobs.totals import Distribution, Totals

fsspec = pytest.importorskip("fsspec")
sys.path.insert(0, str(Path(__file__).parent))  # where the processes that are started find it, too
from job_codings import Reverse, nothing_refused  # noqa: E402


@pytest.fixture
def memory():
    return fsspec.filesystem("memory")


@pytest.fixture
def place(memory) -> str:
    """A place in the store that no other test has."""
    name = uuid.uuid4().hex
    yield f"memory://{name}"
    memory.rm(f"/{name}", recursive=True)


def path_of(place: str, key: str) -> str:
    return f"/{place.removeprefix('memory://')}/{key}"


@pytest.fixture
def bucket(memory, place, photo) -> str:
    """Three pictures, of which one is broken, and what is none."""
    for number, key in enumerate(("in/a.png", "in/deep/er/b.jpg")):
        out = io.BytesIO()
        Image.fromarray(photo[number:number + 16, :24]).save(out, "PNG" if key.endswith("png") else "JPEG")
        memory.pipe_file(path_of(place, key), out.getvalue())
    for key in ("in/broken.png", "in/notes.txt", "in/.hidden.png"):
        memory.pipe_file(path_of(place, key), b"nothing")
    return place


def lines(memory, place: str) -> list[dict]:
    """The manifest of the last run."""
    paths = sorted(memory.find(path_of(place, "out/_aecodec")))
    last = paths[-1].rpartition("-")[0]
    return [json.loads(text) for path in paths if path.startswith(last)
            for text in memory.cat_file(path).decode().splitlines()]


def statuses(memory, place: str) -> dict[str, str]:
    return {line["key"].removeprefix(f"{place}/in/"): line["status"] for line in lines(memory, place)}


def compress(aec, place: str, *more):
    return aec("compress", f"{place}/in/", "--output-dir", f"{place}/out/", *more)


def test_a_prefix_is_mirrored_and_done_once(aec, memory, bucket):
    done = compress(aec, bucket)
    assert done.exit_code == 1, done.stderr
    assert f"{bucket}/in/broken.png is not a picture" in done.stderr
    assert statuses(memory, bucket) == {"a.png": "done", "deep/er/b.jpg": "done", "broken.png": "failed",
                                        "notes.txt": "left out", ".hidden.png": "left out"}
    made = {key: memory.cat_file(path_of(bucket, f"out/{key}")) for key in ("a.aec", "deep/er/b.aec")}
    again = compress(aec, bucket)
    assert again.exit_code == 1
    assert "0 objects compressed, 2 done already, 1 failed" in again.stdout
    assert {key: memory.cat_file(path_of(bucket, f"out/{key}")) for key in made} == made
    assert [memory.isfile(path_of(bucket, f"out/{name}")) for name in ("broken.aec", "notes.aec")] == [False, False]


def test_what_changed_is_coded_again_and_nothing_else(aec, memory, bucket):
    compress(aec, bucket)
    before = memory.cat_file(path_of(bucket, "out/deep/er/b.aec"))
    out = io.BytesIO()
    Image.new("RGB", (9, 9)).save(out, "PNG")
    memory.pipe_file(path_of(bucket, "in/a.png"), out.getvalue())
    compress(aec, bucket)
    assert statuses(memory, bucket) | {"a.png": "done", "deep/er/b.jpg": "skipped"} == statuses(memory, bucket)
    assert memory.cat_file(path_of(bucket, "out/deep/er/b.aec")) == before
    compress(aec, bucket, "-q", "20", "--lossy")
    assert statuses(memory, bucket) | {"a.png": "done", "deep/er/b.jpg": "done"} == statuses(memory, bucket)
    assert memory.cat_file(path_of(bucket, "out/deep/er/b.aec")) != before
    compress(aec, bucket, "-q", "20", "--lossy", "--force")
    assert statuses(memory, bucket) | {"a.png": "done", "deep/er/b.jpg": "done"} == statuses(memory, bucket)


def test_what_somebody_else_wrote_is_not_overwritten(aec, memory, bucket):
    memory.pipe_file(path_of(bucket, "out/a.aec"), b"mine")
    done = compress(aec, bucket)
    assert done.exit_code == 1
    assert "a.aec exists, and holds something else" in done.stderr
    assert "--force" in done.stderr
    assert memory.cat_file(path_of(bucket, "out/a.aec")) == b"mine"
    assert compress(aec, bucket, "--force", "--skip-existing").exit_code == 1
    assert memory.cat_file(path_of(bucket, "out/a.aec")) != b"mine"


def test_there_and_back_through_every_command(aec, memory, bucket, tmp_path):
    folder, one = f"{bucket}/out/", f"{bucket}/out/a.aec"
    compress(aec, bucket)
    assert "24x16" in aec("info", one).stdout.replace("width: 24\nheight: 16", "24x16")
    assert len(json.loads(aec("info", folder, "--json").stdout)) == 2
    assert "2 files whole" in aec("test", folder).stdout
    assert aec("decompress", one, "-o", tmp_path / "a.png").exit_code == 0
    assert Image.open(tmp_path / "a.png").size == (24, 16)
    assert aec("decompress", folder, "--output-dir", tmp_path / "back", "--format", "webp").exit_code == 0
    assert (tmp_path / "back" / "deep" / "er" / "b.aec.webp").is_file()
    assert aec("compress", tmp_path / "a.png", "-o", f"{bucket}/up.aec").exit_code == 0
    assert aec("compress", tmp_path / "a.png").exit_code == 0
    assert memory.cat_file(path_of(bucket, "up.aec")) == (tmp_path / "a.aec").read_bytes()


@pytest.mark.parametrize(("arguments", "words"), [
    (["{0}/nothing/", "--output-dir", "{0}/out/"], "does not exist"),
    (["{0}/in", "--output-dir", "{0}/out/"], "end it in /"),
    (["nosuch://a/b.png", "-o", "{0}/b.aec"], "nosuch://"),
    (["{0}/in/a.png", "-o", "https://a/b.aec"], "outputs go to"),
    (["{0}/in/", "-o", "{0}/b.aec"], "--output-dir"),
    (["{0}/in/", "--output-dir", "{0}/out/", "--stop"], "--stop"),
    (["-", "-o", "{0}/b.aec"], "standard input"),
    (["--ray", "{0}/in/", "--output-dir", "{0}/out/"], "put --ray at the end"),
    (["--ray", "photo.png"], "put --ray at the end"),
    (["{0}/none/", "--output-dir", "{0}/out/"], "no pictures"),
])
def test_nothing_begun_is_2(aec, memory, bucket, arguments, words):
    memory.pipe_file(path_of(bucket, "none/notes.txt"), b"")
    done = aec("compress", *(text.format(bucket) for text in arguments))
    assert done.exit_code == 2, done.stderr
    assert words in done.stderr


def test_names_that_would_share_an_output_are_told(aec, memory, bucket):
    memory.copy(path_of(bucket, "in/a.png"), path_of(bucket, "in/a.bmp"))
    done = compress(aec, bucket)
    assert done.stderr.count("would both be written to") == 2
    assert not memory.exists(path_of(bucket, "out/a.aec"))


def test_local_folders_keep_their_marks_in_the_manifest(aec, memory, bucket, tmp_path):
    arguments = ("compress", f"{bucket}/in/", "--output-dir", tmp_path / "out")
    assert aec(*arguments).exit_code == 1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.aec")}
    assert len(before) == 2
    assert "2 done already" in aec(*arguments).stdout
    for path in (tmp_path / "out" / "_aecodec").iterdir():
        path.unlink()
    # A kill between an output and its line: it is coded again, and stays where it is the same.
    assert aec(*arguments).exit_code == 1
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.aec")} == before


# -- shards ---------------------------------------------------------------------------------------------------------


def picture(photo, number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo[number:number + 16, :24]).save(out, "PNG")
    return out.getvalue()


def test_a_webdataset_shard_keeps_what_is_no_picture(aec, memory, bucket, photo):
    members = {"000.png": picture(photo, 0), "000.json": b"{}", "001.png": b"broken", "001.json": b"{}",
               "002.x.png": picture(photo, 2)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    memory.pipe_file(path_of(bucket, "in/deep/s.tar"), out.getvalue())
    done = compress(aec, bucket)
    assert "s.tar#001.png" in done.stderr
    assert statuses(memory, bucket) | {"deep/s.tar": "done", "deep/s.tar#001.png": "failed"} == statuses(memory, bucket)
    with tarfile.open(fileobj=io.BytesIO(memory.cat_file(path_of(bucket, "out/deep/s.tar")))) as tar:
        assert tar.getnames() == ["000.aec", "000.json", "001.json", "002.x.aec"]
        assert tar.extractfile("000.aec").read() == memory.cat_file(path_of(bucket, "out/a.aec"))
    assert aec("decompress", f"{bucket}/out/deep/", "--output-dir", f"{bucket}/back/").exit_code == 0
    with tarfile.open(fileobj=io.BytesIO(memory.cat_file(path_of(bucket, "back/s.tar")))) as tar:
        assert tar.getnames() == ["000.png", "000.json", "001.json", "002.x.png"]
        assert Image.open(tar.extractfile("000.png")).size == (24, 16)


def test_a_parquet_shard_keeps_its_other_columns(aec, memory, bucket, photo):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": picture(photo, 0), "path": "x.png"}, {"bytes": b"broken", "path": None}, None]
    table = pa.table({"label": [1, 2, 3], "image": images})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=2)
    memory.pipe_file(path_of(bucket, "in/t.parquet"), out.getvalue())
    done = compress(aec, bucket)
    assert "t.parquet#row 1" in done.stderr
    made = pq.read_table(io.BytesIO(memory.cat_file(path_of(bucket, "out/t.parquet"))))
    assert made.schema == table.schema
    assert made["label"].to_pylist() == [1, 2, 3]
    assert made["image"].to_pylist() == [
        {"bytes": memory.cat_file(path_of(bucket, "out/a.aec")), "path": "x.aec"}, {"bytes": None, "path": None}, None]
    for column, words in (("label", "name the one"), ("image", "")):
        done = aec("compress", f"{bucket}/in/t.parquet", "-o", f"{bucket}/{column}.parquet", "--column", column)
        assert words in done.stderr


# -- batches of one's own -------------------------------------------------------------------------------------------


def test_rows_without_a_cluster(codec, photo, monkeypatch):
    monkeypatch.setattr(loading, "load_codec", lambda *_: codec)
    gray = photo[:16, :24, 0]
    batch = {"bytes": [picture(photo, 0), b"broken", gray], "path": ["a.png", "b.png", "c"], "label": [1, 2, 3]}
    made = Encoder(20, lossless=False)(batch)
    assert list(made) == ["bytes", "path", "label", "aec", "error"]
    assert [data[:4] for data in made["aec"]] == [b"\xaeAEC", b"", b"\xaeAEC"]
    assert [bool(error) for error in made["error"]] == [False, True, False]
    back = Decoder()(made)
    assert [image.shape for image in back["image"]] == [(16, 24, 3), (0, 0, 3), (16, 24)]
    assert list(back["error"]) == list(made["error"])
    assert Image.open(io.BytesIO(Decoder(format="webp")(made)["image"][0])).format == "WEBP"
    with pytest.raises(ValueError, match="column="):
        Encoder(column="picture")(batch)


# -- processes ------------------------------------------------------------------------------------------------------


def run(tmp_path: Path, contents: dict[str, bytes], jobs: int, **more) -> list[Line]:
    (tmp_path / "in").mkdir(exist_ok=True)
    for name, data in contents.items():
        (tmp_path / "in" / name).write_bytes(data)
    listing = Listing((tmp_path / "in",), ".out", nothing_refused, folder=tmp_path / "out", recursive=True)
    told: list[Line] = []
    processes.run(listing.all_tasks(), ObjectWork(Reverse(), ".out", **more), jobs, told.append)
    return told


def test_a_killed_process_loses_nothing(tmp_path):
    contents = {f"{number:02d}.in": bytes([number]) * 3 for number in range(12)}
    contents["05.in"] = b"once " + str(tmp_path / "flag").encode()
    told = run(tmp_path, {**contents, "07.in": b"fatal", "09.in": b"broken"}, 2)
    assert sorted((Path(line.key).stem, line.status) for line in told) == [
        (f"{number:02d}", FAILED if number in (7, 9) else DONE) for number in range(12)]
    assert "the worker was killed 2 times" in next(line.error for line in told if "07.in" in line.key)
    made = {path.stem: path.read_bytes() for path in (tmp_path / "out").glob("[!.]*")}
    assert made == {Path(name).stem: data[::-1] for name, data in contents.items()
                    if name not in ("07.in", "09.in")}
    known = {line.output: line.mark for line in told if line.status == DONE}
    again = run(tmp_path, {"07.in": b"fine"}, 1, known=known)
    assert sorted(line.status for line in again) == [DONE, FAILED, *[SKIPPED] * 10]


# -- parts ----------------------------------------------------------------------------------------------------------


def test_urls_are_taken_apart():
    url = storage.location("s3://photos/a/b.tar.png")
    assert (url.name, url.stem, url.suffix, str(url.parent)) == ("b.tar.png", "b.tar", ".png", "s3://photos/a/")
    assert str(url.with_name("c")) == "s3://photos/a/c"
    assert str(Url("s3://photos/a/") / "b//c") == "s3://photos/a/b//c"
    assert [Url(text).is_prefix for text in ("s3://photos", "s3://photos/", "s3://photos/a/", "s3://photos/a")] == [
        True, True, True, False]
    assert storage.location("file:///tmp/x") == Path("/tmp/x")
    assert storage.location("C:\\x") == Path("C:\\x")


def test_a_store_that_is_away_for_a_while_is_waited_for(memory, place, monkeypatch):
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)
    failures = [OSError(16, "SlowDown"), TimeoutError(), ConnectionResetError()]

    def fail(error):
        raise error

    memory.pipe_file(path_of(place, "x"), b"x")
    monkeypatch.setattr(type(memory), "cat_file", lambda self, path: fail(failures.pop()) if failures else b"x")
    assert storage.read(Url(f"{place}/x")) == b"x"
    assert not failures
    for error, words in ((FileNotFoundError(), "does not exist"), (PermissionError("no"), "credentials"),
                         (ValueError("bad"), "bad")):
        monkeypatch.setattr(type(memory), "cat_file", lambda self, path, error=error: fail(error))
        with pytest.raises(storage.AecError, match=words):
            storage.read(Url(f"{place}/x"))
    monkeypatch.setattr(storage, "PATIENCE", 0.0)
    monkeypatch.setattr(type(memory), "cat_file", lambda self, path: fail(OSError(16, "SlowDown")))
    with pytest.raises(storage.AecError, match="SlowDown"):
        storage.read(Url(f"{place}/x"))


def test_a_manifest_cut_short_is_read_to_there(tmp_path):
    with Manifest(tmp_path) as record:
        record.add(Line("a", DONE, "b", mark="{}"))
        record.add(Line("c", FAILED, "d", error="e"))
        path = next(tmp_path.iterdir())
        assert len(path.read_text().splitlines()) == 2  # flushed as it goes
    path.write_text(path.read_text() + '{"key": "f", "sta')
    assert manifest.marks(tmp_path) == {"b": "{}"}


def test_percentiles_are_within_a_hundredth():
    numbers = Distribution()
    for value in range(1, 1001):
        numbers.add(value / 100)
    for percent in (1, 50, 90, 99):
        assert numbers.percentile(percent) == pytest.approx(percent / 10, rel=0.011)
    assert Distribution().percentile(50) is None


def test_time_left_is_told_once_all_is_found():
    totals = Totals()
    totals.began -= 10
    totals._recent[0] = (totals.began, 0)
    for _ in range(20):
        totals.add(Line("a", DONE, bytes_in=10, bytes_out=4, seconds=0.1))
    totals.found = 60
    assert totals.left() is None
    totals.all_found = True
    assert totals.left() == pytest.approx(20, rel=0.1)
    assert totals.saved == 120
