"""The work of decompressing, and of testing: an .aec file to a picture file, or to nothing. It can be pickled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from .. import files
from ..errors import AecError
from . import sources
from .existing import up_to_date
from .loading import LoadedWhenUsed
from .local import Outcome, Status, Task


@dataclass(frozen=True)
class Decompress:
    """Decompresses the file of a task."""

    codec: LoadedWhenUsed
    format: str  # of the output: one of the values of `picture.saving.FORMATS`
    quality: int | None = None  # 0..100, of a lossy format; None for the usual one
    fit: int | None = None  # scale down to fit into so many pixels each way
    force: bool = False  # overwrite
    skip_existing: bool = False  # leave an output that is whole and not older than its input
    preserve: bool = True  # keep permissions and times
    progress: Callable[[float], None] | None = None  # told of a picture's share, 0..1

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        if self.skip_existing and up_to_date(task, self.force, decodes):
            return Outcome(task, Status.SKIPPED)
        from .. import thumbnail

        data = files.read_bytes(task.source)
        try:
            file = sources.check(data, self.codec.limit_pixels)  # before seconds go into loading weights
            files.check_not_same(task.source, task.target)
            files.check_output(task.target, self.force)
            decode = self.codec.decoder(file)  # its loading is not the picture's time
            timings: dict[str, float] = {}
            began = time.perf_counter()
            if self.fit is None:
                image = decode(file, timings, self.progress)
            elif file.header.lossless:
                image = decode(file, timings, self.progress)
                image.thumbnail((self.fit, self.fit))
            else:
                image = thumbnail.of_file(self.codec(), file, self.fit, timings, self.progress)
            seconds = time.perf_counter() - began
            notes: list[str] = []
            size: list[int] = []

            def write(stream: IO[bytes]) -> None:
                from ..picture import saving

                notes.extend(saving.save(image, stream, self.format, self.quality))
                size.append(stream.tell())

            files.write_file(task.target, write, task.source if self.preserve else None)
        except AecError as error:
            raise sources.named(task.source, error) from None
        facts = {"width": image.width, "height": image.height, "mode": image.mode, "format": self.format,
                 "seconds": round(seconds, 4)}
        return Outcome(task, facts=facts, timings=timings, notes=notes, bytes_read=len(data), bytes_written=size[0])


def decodes(data: bytes) -> None:
    """Raise AecError if the bytes of a picture file are not whole."""
    sources.read_picture(files.STANDARD, data, None)


@dataclass(frozen=True)
class Check:
    """Tests whether the file of a task decodes to what was encoded. Nothing is written."""

    codec: LoadedWhenUsed

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        data = files.read_bytes(task.source)
        try:
            file = sources.check(data, self.codec.limit_pixels)
            self.codec.decoder(file)(file, None, None)
        except AecError as error:
            raise sources.named(task.source, error) from None
        header = file.header
        facts = {"width": header.width, "height": header.height, "mode": sources.mode_of(file)}
        return Outcome(task, facts=facts, bytes_read=len(data))
