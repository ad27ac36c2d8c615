"""Which files are worked on, where outputs go, and what is left out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aecodec import files
from aecodec.jobs.existing import up_to_date
from aecodec.jobs.local import Task
from aecodec.jobs.plan import Outputs, WrongUse, gather, plan


def takes_all(_: Path) -> None:
    return None


def readable(path: Path) -> bool:
    return path.read_bytes() == b"good"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("a.png", "b.txt", "sub/c.png", "sub/deep/d.png", ".hidden", ".trash/e.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"good")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everything_in_a_folder_is_taken_or_named(folder):
    os.mkfifo(folder / "sub" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        (folder / "loop").symlink_to(folder)
        (folder / "nowhere.png").symlink_to(folder / "nothing")
        found, left_out = gather([Path()], True, lambda path: "text" if path.suffix == ".txt" else None)
    assert [str(below) for _, below in found] == ["a.png", "nowhere.png", "sub/c.png", "sub/deep/d.png"]
    assert {str(item.path): item.reason for item in left_out} == {
        "b.txt": "text", ".hidden": "hidden", ".trash": "hidden", "loop": "a link to a folder",
        "s.png": "neither a file nor a folder", "sub/pipe.png": "neither a file nor a folder"}


def test_a_folder_that_cannot_be_listed_is_a_failure(folder, monkeypatch):
    """Whoever runs the tests: the system refuses to list it."""
    real = os.scandir

    def scandir(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, left_out = gather([folder], True, takes_all)
    assert folder / "sub/deep/d.png" not in [path for path, _ in found]
    assert [(item.path, item.reason) for item in left_out if item.failed] == [
        (folder / "sub" / "deep", "cannot be read: Permission denied")]


def targets(made) -> list[str]:
    return [str(task.target) for task in made.tasks]


def test_outputs_are_named_by_their_inputs(folder):
    inputs = [Path("a.png"), Path("sub")]
    assert targets(plan(inputs, True, takes_all, Outputs(".aec"), readable)) == ["a.aec", "sub/c.aec", "sub/deep/d.aec"]
    made = plan(inputs, True, takes_all, Outputs(".aec.png", folder=Path("out")), readable)
    assert targets(made) == ["out/a.aec.png", "out/c.aec.png", "out/deep/d.aec.png"]
    assert [task.problem for task in made.tasks] == [None] * 3
    made = plan([Path("-")], False, takes_all, Outputs(".aec"), readable)
    assert targets(made) == ["-"]


@pytest.mark.parametrize(("inputs", "outputs"), [
    (["a.png", "b.txt"], Outputs(".aec", output=Path("x"))), (["sub"], Outputs(".aec", output=Path("x"))),
    (["-"], Outputs(".aec", folder=Path("x"))), (["a.png"], Outputs(".aec", output=Path("x"), folder=Path("y"))),
])
def test_what_contradicts_itself(folder, inputs, outputs):
    with pytest.raises(WrongUse):
        plan([Path(name) for name in inputs], True, takes_all, outputs, readable)


def test_what_cannot_be_read_does_not_hold_a_name(folder):
    Path("a.raw").write_bytes(b"bad")
    raw, picture = plan([Path("a.raw"), Path("a.png")], False, takes_all, Outputs(".aec"), readable).tasks
    assert (raw.problem, picture.problem) == (None, None)  # the first one is found to be unreadable when it is read


@pytest.mark.parametrize("force", [True, False])
def test_two_that_want_one_name_are_both_named(folder, force):
    Path("a.jpg").write_bytes(b"good")
    made = plan([Path("a.jpg"), Path("a.png"), Path("b.txt")], False, takes_all, Outputs(".aec", force=force), readable)
    first, second, other = made.tasks
    assert str(first.problem) == str(second.problem)
    assert "a.jpg and a.png would both be written to a.aec" in str(first.problem)
    assert other.problem is None


def test_an_output_never_is_another_input(folder):
    Path("a.aec").write_bytes(b"good")
    made = plan([Path("a.png"), Path("a.aec")], False, takes_all, Outputs(".aec", force=True), lambda _: False)
    assert "would overwrite a.aec, which is another input" in str(made.tasks[0].problem)


def test_outputs_that_exist_are_refused_unless_asked(folder):
    Path("a.aec").write_bytes(b"mine")
    (task,) = plan([Path("a.png")], False, takes_all, Outputs(".aec"), readable).tasks
    assert isinstance(task.problem, files.OutputExists)
    for outputs in (Outputs(".aec", force=True), Outputs(".aec", skip_existing=True)):
        assert plan([Path("a.png")], False, takes_all, outputs, readable).tasks[0].problem is None


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_the_input_by_another_name(folder, link):
    link(folder / "a.png", folder / "z.png")
    for pair in (("a.png", "z.png"), ("z.png", "a.png"), ("a.png", "./sub/../a.png")):
        with pytest.raises(files.AecError, match="the input itself"):
            files.check_not_same(*map(Path, pair))
    files.check_not_same(Path("a.png"), Path("b.txt"))
    files.check_not_same(Path("a.png"), Path("nothing"))


def whole(data: bytes) -> None:
    if data != b"good":
        raise files.AecError("damaged")


def test_outputs_that_are_there(folder):
    task = Task(Path("a.png"), Path("a.aec"))
    assert not up_to_date(task, False, whole)
    Path("a.aec").write_bytes(b"good")
    times = [(10**18, True), (10**18 + 5, True), (10**18 - 1, False), (10**18 - 10**10, False)]
    os.utime("a.png", ns=(10**18, 10**18))
    for time, new_enough in times:
        os.utime("a.aec", ns=(time, time))
        assert up_to_date(task, True, whole) == new_enough
        if not new_enough:
            with pytest.raises(files.OutputExists, match=r"older than a\.png"):
                up_to_date(task, False, whole)
    Path("a.aec").write_bytes(b"half")
    assert not up_to_date(task, True, whole)
    with pytest.raises(files.OutputExists, match="not whole"):
        up_to_date(task, False, whole)
    assert not up_to_date(Task(files.STANDARD, Path("a.aec")), False, whole)


def test_times_that_a_file_system_rounds_off_are_not_older(folder):
    """FAT counts in 2 seconds, exFAT in 10 milliseconds."""
    Path("a.aec").write_bytes(b"good")
    os.utime("a.png", ns=(0, 1_003_123_456_789))
    for rounded in (1_002_000_000_000, 1_003_000_000_000, 1_003_120_000_000, 1_003_123_456_700):
        os.utime("a.aec", ns=(rounded, rounded))
        assert up_to_date(Task(Path("a.png"), Path("a.aec")), False, whole)


def test_permissions_and_times_go_along(folder):
    Path("a.png").chmod(0o4640)
    os.utime("a.png", ns=(5, 7))
    files.write_file(Path("new"), lambda file: file.write(b"x"), Path("a.png"))
    made = os.stat("new")
    assert (made.st_mode & 0o7777, made.st_atime_ns, made.st_mtime_ns) == (0o640, 5, 7)
