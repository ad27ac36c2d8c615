"""Reading and writing files so that nothing is ever lost: used by jobs and the command line.

The path `-` stands for standard input or output. Errors tell what is wrong; `command/` adds which flag helps.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from .errors import AecError

STANDARD = Path("-")


class OutputExists(AecError):
    """Writing would overwrite a file."""


class InputIsFolder(AecError):
    """A folder where a file is needed."""


class OutputIsFolder(AecError):
    """A folder where a file is to be written."""


class OutputShared(AecError):
    """Several inputs have one output."""


class NoOutput(AecError):
    """Standard output cannot take a file."""


_counter = itertools.count()


def shown(path: object, output: bool = False) -> str:
    """A path, or a URL, as messages name it."""
    if path == STANDARD:
        return "standard output" if output else "standard input"
    # Names need not be UTF-8, but what is printed must be.
    return str(path).encode(errors="backslashreplace").decode()


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises AecError with the reason."""
    try:
        if path != STANDARD:
            return path.read_bytes()
        if sys.stdin is None or sys.stdin.isatty():
            what = "closed" if sys.stdin is None else "a terminal"
            raise AecError(f"standard input is {what}; pipe a file into it, or name one")
        return sys.stdin.buffer.read()
    except IsADirectoryError:
        raise InputIsFolder(f"{shown(path)} is a folder, not a file") from None
    except FileNotFoundError:
        raise AecError(f"{shown(path)} does not exist") from None
    except OSError as error:
        if os.path.isdir(path):  # Windows says "permission denied"
            raise InputIsFolder(f"{shown(path)} is a folder, not a file") from None
        raise AecError(f"{shown(path)} cannot be read: {error.strerror or error}") from None


def check_output(path: Path, force: bool) -> None:
    """Raise AecError if writing `path` would overwrite a file (without `force`) or cannot work."""
    if path == STANDARD:
        if sys.stdout is None:
            raise NoOutput("standard output is closed; redirect it")
        if sys.stdout.isatty():
            raise NoOutput("standard output is a terminal, which shows no binary data; redirect it")
        return
    # Not Path's methods, which raise what they cannot tell: names that are too long, folders that are closed to us.
    if os.path.isdir(path):
        raise OutputIsFolder(f"{shown(path)} is a folder")
    if os.path.isfile(path) and not force:  # devices and pipes are there to be written to
        raise OutputExists(f"{shown(path)} exists")
    if not os.path.isdir(path.parent):
        raise AecError(f"the folder {shown(path.parent)} does not exist; create it first")


def check_not_same(source: Path, target: Path) -> None:
    """Raise AecError if writing `target` would overwrite the file read from `source`, by whatever name or link."""
    try:
        before = os.fstat(sys.stdin.fileno()) if source == STANDARD else os.stat(source)
        after = os.fstat(sys.stdout.fileno()) if target == STANDARD else os.stat(target)
    except (OSError, ValueError, AttributeError):  # one of them is not there, or no file at all
        return
    if stat.S_ISREG(before.st_mode) and os.path.samestat(before, after):
        raise AecError(f"{shown(target, True)} is the input itself, which is never overwritten; name another output")


def write_file(path: Path, write: Callable[[BinaryIO], object], like: Path | None = None,
               check: Callable[[bytes], object] | None = None) -> None:
    """Write a file through a temporary sibling that is renamed when complete.

    Whatever happens in between, `path` holds either what it held before or the whole new file.

    Args:
        path: the file, or `-`.
        write: writes to the open file.
        like: a file whose permissions and times of access and modification the new file gets.
        check: receives what was written, read back, before it takes the place of `path`; what it raises passes.

    Raises:
        AecError: the file cannot be written.
    """
    try:
        if path == STANDARD or (os.path.exists(path) and not os.path.isfile(path)):
            _write_stream(path, write, check)
        else:
            write_atomically(Path(os.path.realpath(path)), write, like, check)  # not a link to the file, but the file
    except OSError as error:
        if path == STANDARD and isinstance(error, BrokenPipeError):
            raise  # who reads has seen enough, which is no error
        raise AecError(f"{shown(path, True)} cannot be written: {error.strerror or error}") from None


def _write_stream(path: Path, write: Callable[[BinaryIO], object], check: Callable[[bytes], object] | None) -> None:
    buffer = BytesIO()  # nothing goes out unless all of it can
    write(buffer)
    if check is not None:
        check(buffer.getvalue())
    with contextlib.nullcontext(sys.stdout.buffer) if path == STANDARD else open(path, "wb") as stream:
        stream.write(buffer.getbuffer())
        stream.flush()


def write_atomically(path: Path, write: Callable[[BinaryIO], object], like: Path | None = None,
                     check: Callable[[bytes], object] | None = None) -> None:
    """`write_file` for what is certainly a file: raises OSError as it comes."""
    # Named before it exists: an interrupt at any moment finds it. Fifty characters have at most 200 bytes.
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}-{next(_counter)}.tmp")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(temporary.read_bytes())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o7777)
        if like is not None and like != STANDARD:
            _make_like(temporary, like)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _make_like(path: Path, like: Path) -> None:
    with contextlib.suppress(OSError):  # the file may be gone by now, which is no reason to lose the other
        before = like.stat()
        # Permissions alone: no program may gain rights by being compressed.
        os.chmod(path, stat.S_IMODE(before.st_mode) & 0o777)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
