"""Files and objects by their addresses: local paths, and URLs of the stores that fsspec knows.

fsspec and its drivers are imported when a URL is used. An object is written whole or not at all: by a rename on local
disks, by one conditional request where a store has it. Where a store keeps metadata of objects, ours is one entry, the
mark, which tells what an object was made from; see `objects`.
"""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from .. import files
from ..errors import AecError, MissingPackage

MARK = "aecodec"  # the name of our entry among an object's metadata
PATIENCE = 90.0  # seconds that a store may be unavailable before what was asked of it fails
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}
MEMORY = "memory"

# Errors of botocore and azure, by the names of their classes: no driver is imported to know them.
_LINE_BROKE = ("HTTPClientError", "ConnectionError", "ServiceRequestError", "ServiceResponseError")

T = TypeVar("T")


@dataclass(frozen=True)
class Url:
    """An address in a store: `scheme://bucket/key`. A prefix of keys ends in `/`."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0].lower()

    @property
    def is_prefix(self) -> bool:
        """Whether it stands for all that is below it: it ends in `/`, or is a whole bucket."""
        key = self.text.partition("://")[2]
        return key.endswith("/") or "/" not in key

    @property
    def name(self) -> str:
        return self.text.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.name)[1]

    @property
    def stem(self) -> str:
        return os.path.splitext(self.name)[0]

    @property
    def parent(self) -> Url:
        """The prefix that it lies in."""
        return Url(self.text.rstrip("/").rpartition("/")[0] + "/")

    def with_name(self, name: str) -> Url:
        return self.parent / name

    def with_suffix(self, suffix: str) -> Url:
        return self.with_name(self.stem + suffix)

    def __truediv__(self, below: object) -> Url:
        return Url(f"{self.text.rstrip('/')}/{below}")


Location: TypeAlias = Path | Url


@dataclass(frozen=True)
class Version:
    """What tells a version of a source from the next one."""

    etag: str
    size: int
    mtime: str


@dataclass(frozen=True)
class Existing:
    """What is at an address already: its mark, if the store keeps one and it has one."""

    mark: str | None = None


def location(text: str | os.PathLike[str]) -> Location:
    """A path, or a URL where there is a scheme."""
    text = os.fspath(text)
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        return Path(text)
    return Path(rest) if scheme.lower() in ("file", "local") else Url(text)


def keeps_marks(place: Location) -> bool:
    """Whether a store keeps metadata of objects."""
    return isinstance(place, Url) and place.scheme in EXTRAS


def check_writable(place: Location) -> None:
    """Raise AecError for a store in which an object cannot be written once and whole, or that cannot be used."""
    if isinstance(place, Url):
        if place.scheme not in EXTRAS and place.scheme != MEMORY:
            raise AecError(f"{place}: outputs go to local folders, s3://, gs://, az:// and memory:// only, where an "
                           "object is written whole or not at all")
        _filesystem(place)


def read(place: Location) -> bytes:
    """The bytes of a file or object. Raises AecError with the reason."""
    if isinstance(place, Path):
        return files.read_bytes(place)
    system, path = _opened(place)
    data: bytes = _told(place, "read", lambda: system.cat_file(path))
    return data


def version(place: Location) -> Version:
    """The version of a file or object. Raises AecError if it is not there, or is a folder."""
    if isinstance(place, Path):
        try:
            state = os.stat(place)
        except OSError as error:
            raise AecError(f"{files.shown(place)} cannot be read: {error.strerror or error}") from None
        if os.path.isdir(place):
            raise files.InputIsFolder(f"{files.shown(place)} is a folder, not a file")
        return Version("", state.st_size, str(state.st_mtime_ns))
    system, path = _opened(place)
    info = _told(place, "read", lambda: system.info(path))
    if info.get("type") == "directory":
        raise AecError(f"{place} is a prefix, not an object; end it in / to take what is below it")
    return _version(info)


def existing(place: Location) -> Existing | None:
    """What is at an address; None if nothing is. Raises AecError."""
    if isinstance(place, Path):
        if os.path.isdir(place):
            raise files.OutputIsFolder(f"{files.shown(place)} is a folder")
        return Existing() if os.path.isfile(place) else None
    system, path = _opened(place)

    def look() -> Existing | None:
        try:
            if EXTRAS.get(place.scheme) == "s3":
                return Existing(system.metadata(path).get(MARK))
            info = system.info(path)
        except FileNotFoundError:
            return None
        if info.get("type") == "directory":
            return None
        return Existing((info.get("metadata") or {}).get(MARK))

    return _told(place, "read", look)


def write(place: Location, data: bytes, mark: str, new: bool, like: Location | None = None,
          check: Callable[[bytes], object] | None = None) -> None:
    """Write a file or object, whole or not at all.

    Args:
        place: its address. Local folders are made.
        data: its bytes.
        mark: goes into its metadata where the store keeps some.
        new: nothing must be there; in a store, that is a condition of the request itself.
        like: a local file whose permissions and times a local file gets.
        check: receives what was written, read back; what it raises passes.

    Raises:
        FileExistsError: something is there, and `new` was asked for.
        AecError: it cannot be written.
    """
    if isinstance(place, Path):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AecError(f"the folder {files.shown(place.parent)} cannot be made: "
                           f"{error.strerror or error}") from None
        files.write_file(place, lambda file: file.write(data), like if isinstance(like, Path) else None, check)
        return
    system, path = _opened(place)
    _told(place, "written", lambda: _put(system, place.scheme, path, data, mark, new))
    if check is not None:
        check(read(place))


def _put(system: Any, scheme: str, path: str, data: bytes, mark: str, new: bool) -> None:
    kind, type_ = EXTRAS.get(scheme), _media_type(path)
    mode = "create" if new else "overwrite"
    if kind == "s3":
        system.pipe_file(path, data, mode=mode, Metadata={MARK: mark}, ContentType=type_)
    elif kind == "gs":
        system.pipe_file(path, data, mode=mode, metadata={MARK: mark}, content_type=type_)
    elif kind == "az":
        _put_azure(system, path, data, mark, new, type_)
    else:
        system.pipe_file(path, data, mode=mode)


def _put_azure(system: Any, path: str, data: bytes, mark: str, new: bool, type_: str) -> None:
    """The driver's own `pipe_file` has metadata of its own, and takes no other."""
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import ContentSettings
    from fsspec.asyn import sync

    container, name, _ = system.split_path(path)

    async def upload() -> None:
        async with system.service_client.get_blob_client(container=container, blob=name) as blob:
            await blob.upload_blob(data, overwrite=not new, metadata={MARK: mark},
                                   content_settings=ContentSettings(content_type=type_))

    try:
        sync(system.loop, upload)
    except ResourceExistsError:
        raise FileExistsError(path) from None


def _media_type(path: str) -> str:
    import mimetypes

    return "image/x-aec" if path.lower().endswith(".aec") else (
        mimetypes.guess_type(path)[0] or "application/octet-stream")


@dataclass(frozen=True)
class Listed:
    """An object below a prefix, by its URL, its key below the prefix, and its version."""

    url: Url
    below: str
    version: Version


def listing(root: Url, prefix: Url) -> tuple[list[Listed], list[Url]]:
    """One level of a prefix: its objects, and the prefixes below it, both in the order of their names.

    Args:
        root: where `Listed.below` counts from.
        prefix: `root` itself, or a prefix below it.

    Raises:
        AecError: it cannot be listed.
    """
    system, path = _opened(prefix)
    path = path.rstrip("/")
    found = _told(prefix, "listed", lambda: system.ls(path, detail=True))
    base = prefix.text.rstrip("/")
    objects, prefixes = [], []
    for info in sorted(found, key=lambda info: str(info["name"])):
        name = info["name"].rstrip("/").rpartition("/")[2]
        if not name or info["name"].rstrip("/").strip("/") == path.strip("/"):
            continue  # the object that some programs make to stand for a folder
        if info["type"] == "directory":
            prefixes.append(Url(f"{base}/{name}/"))
        else:
            url = Url(f"{base}/{name}")
            objects.append(Listed(url, url.text[len(root.text.rstrip("/")) + 1:], _version(info)))
    return objects, prefixes


def walk(root: Url) -> Iterator[Listed]:
    """All objects below a prefix, one level of it in memory at a time. Raises AecError."""
    waiting = [root]
    while waiting:
        objects, prefixes = listing(root, waiting.pop())
        yield from objects
        waiting += reversed(prefixes)


def _version(info: dict[str, Any]) -> Version:
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    changed = next((info[key] for key in ("LastModified", "last_modified", "updated", "mtime", "created")
                    if info.get(key)), "")
    if isinstance(changed, datetime):
        # Whole seconds: a listing may tell of more of them than what is asked for one object.
        changed = changed.astimezone(timezone.utc).replace(microsecond=0).isoformat()
    return Version(etag, int(info.get("size") or 0), str(changed))


def _opened(place: Url) -> tuple[Any, str]:
    system = _filesystem(place)
    return system, system._strip_protocol(place.text)


def _filesystem(place: Url) -> Any:
    return _system(place.scheme, place.text.partition("://")[2].partition("/")[0])


@functools.cache
def _system(scheme: str, bucket: str) -> Any:
    extra = EXTRAS.get(scheme)
    try:
        import fsspec

        return fsspec.core.url_to_fs(f"{scheme}://{bucket}", use_listings_cache=False)[0]
    except ImportError as error:
        how = f"pip install 'aecodec[{extra}]'" if extra else "pip install fsspec, and the driver that it names"
        raise MissingPackage(f"{scheme}:// cannot be used ({error}); {how}") from None
    except ValueError as error:
        raise AecError(f"{scheme}:// cannot be used: {error}; check its address and credentials") from None


def _told(place: Url, done: str, action: Callable[[], T]) -> T:
    """What an action gives, tried again while the store is unavailable; its errors in words.

    FileExistsError, which answers a condition, passes.
    """
    try:
        return _persistent(action)
    except (FileExistsError, AecError):
        raise
    except (AttributeError, NameError, AssertionError):
        raise  # defects
    except FileNotFoundError:
        raise AecError(f"{place} does not exist") from None
    except PermissionError as error:
        raise AecError(f"{place} cannot be {done}: {error}; check the credentials and rights") from None
    except Exception as error:  # every driver has errors of its own
        raise AecError(f"{place} cannot be {done}: {error or type(error).__name__}") from None


def _persistent(action: Callable[[], T]) -> T:
    deadline, pause = time.monotonic() + PATIENCE, 0.25
    while True:
        try:
            return action()
        except Exception as error:
            if not _passing(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))  # or all workers would come back at once
        pause = min(2 * pause, 15.0)


def _passing(error: Exception) -> bool:
    """Whether it may help to try again: the store is unavailable, asks for fewer requests, or the line broke."""
    import errno

    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status in (408, 409, 429) or status >= 500
    if isinstance(error, OSError):
        return not isinstance(error, (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError,
                                      NotADirectoryError)) and error.errno not in (errno.EINVAL, errno.ENAMETOOLONG)
    return isinstance(error, TimeoutError) or any(
        base.__module__.partition(".")[0] == "aiohttp" or base.__name__ in _LINE_BROKE
        for base in type(error).__mro__)
