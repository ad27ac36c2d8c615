"""Reading and writing files so that nothing is ever lost: used by the command line."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .errors import AecError


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises AecError with the reason."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise AecError(f"{path} is a folder, not a file") from None
    except FileNotFoundError:
        raise AecError(f"{path} does not exist") from None
    except OSError as error:
        raise AecError(f"{path} cannot be read: {error.strerror or error}") from None


def check_output(path: Path, force: bool) -> None:
    """Raise AecError if writing `path` would overwrite a file (without `force`) or cannot work."""
    if path.is_dir():
        raise AecError(f"{path} is a folder; name a file with -o")
    if path.exists() and not force:
        raise AecError(f"{path} exists; pass --force to overwrite it, or name another file with -o")
    if not path.parent.is_dir():
        raise AecError(f"the folder {path.parent} does not exist; create it first")


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file through a temporary sibling that is renamed when complete.

    Whatever happens in between, `path` holds either what it held before or the whole new file. Raises AecError.
    """
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a new file should have the permissions any program would give it.
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise AecError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
