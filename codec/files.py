"""Reading and writing files so that nothing is ever lost: used by the command line.

The path `-` stands for standard input or output.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from .errors import AecError

STANDARD = Path("-")
_counter = itertools.count()


def shown(path: Path, output: bool = False) -> str:
    """A path as messages name it."""
    return ("standard output" if output else "standard input") if path == STANDARD else str(path)


def folder_message(path: Path) -> str:
    """What to say of a folder where a file is needed."""
    return f"{path} is a folder, not a file; pass --recursive to take the files in it"


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises AecError with the reason."""
    if path == STANDARD:
        if sys.stdin.isatty():
            raise AecError("standard input is a terminal; pipe a file into it, or name one")
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise AecError(folder_message(path)) from None
    except FileNotFoundError:
        raise AecError(f"{path} does not exist") from None
    except OSError as error:
        if path.is_dir():  # Windows says "permission denied"
            raise AecError(folder_message(path)) from None
        raise AecError(f"{path} cannot be read: {error.strerror or error}") from None


def check_output(path: Path, force: bool) -> None:
    """Raise AecError if writing `path` would overwrite a file (without `force`) or cannot work."""
    if path == STANDARD:
        if sys.stdout.isatty():
            raise AecError("standard output is a terminal, which shows no binary data; "
                           "redirect it, or name a file with -o")
        return
    if path.is_dir():
        raise AecError(f"{path} is a folder; name a file with -o, or pass --output-dir")
    if path.is_file() and not force:  # devices and pipes are there to be written to
        raise AecError(f"{path} exists; pass --force to overwrite it, or name another file with -o")
    if not path.parent.is_dir():
        raise AecError(f"the folder {path.parent} does not exist; create it first")


def write_file(path: Path, write: Callable[[BinaryIO], object], times_of: Path | None = None,
               check: Callable[[bytes], object] | None = None) -> None:
    """Write a file through a temporary sibling that is renamed when complete.

    Whatever happens in between, `path` holds either what it held before or the whole new file.

    Args:
        path: the file, or `-`.
        write: writes to the open file.
        times_of: a file whose times of access and modification the new file gets.
        check: receives what was written, read back, before it takes the place of `path`; what it raises passes.

    Raises:
        AecError: the file cannot be written.
    """
    if path == STANDARD or (path.exists() and not path.is_file()):
        buffer = BytesIO()  # nothing goes out unless all of it can
        write(buffer)
        if check is not None:
            check(buffer.getvalue())
        with contextlib.nullcontext(sys.stdout.buffer) if path == STANDARD else open(path, "wb") as stream:
            stream.write(buffer.getbuffer())
            stream.flush()
        return
    path = Path(os.path.realpath(path))  # not the link to a file, but the file, is to be replaced
    # Named before it exists: an interrupt at any moment finds it.
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}-{next(_counter)}.tmp")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(temporary.read_bytes())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o7777)
        if times_of is not None and times_of != STANDARD:
            times = times_of.stat()
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
        os.replace(temporary, path)
    except OSError as error:
        raise AecError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
