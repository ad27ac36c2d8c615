"""The work of restoring: a picture file to a picture file that something was done to. It can be pickled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from .. import files
from ..errors import AecError
from . import sources
from .decompress import decodes
from .existing import up_to_date
from .loading import LoadedWhenUsed
from .local import Outcome, Status, Task

if TYPE_CHECKING:
    from ..api import Codec
    from ..picture.reading import Picture

Restored: TypeAlias = "tuple[Picture, dict[str, Any]]"  # the new picture, and what there is to tell of it
#: What is done: `(codec, picture, progress)` to what is restored.
Restoration: TypeAlias = "Callable[[Codec, Picture, Callable[[float], None] | None], Restored]"


@dataclass(frozen=True)
class Restore:
    """Restores the picture of a task."""

    codec: LoadedWhenUsed
    restoration: Restoration
    format: str  # of the output: one of the values of `picture.saving.FORMATS`
    quality: int | None = None  # 0..100, of a lossy format; None for the usual one
    force: bool = False  # overwrite
    skip_existing: bool = False  # leave an output that is whole and not older than its input
    preserve: bool = True  # keep permissions and times
    progress: Callable[[float], None] | None = None  # told of a picture's share, 0..1

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        from ..picture import reading, saving

        if self.skip_existing and up_to_date(task, self.force, decodes):
            return Outcome(task, Status.SKIPPED)
        data = files.read_bytes(task.source)
        picture = sources.read_picture(task.source, data, self.codec.limit_pixels)
        size: list[int] = []
        try:
            files.check_not_same(task.source, task.target)
            files.check_output(task.target, self.force)
            codec = self.codec()
            began = time.perf_counter()
            restored, facts = self.restoration(codec, picture, self.progress)
            seconds = time.perf_counter() - began
            image = reading.as_image(restored)
            notes = list(picture.notes)

            def write(stream: IO[bytes]) -> None:
                notes.extend(saving.save(image, stream, self.format, self.quality))
                size.append(stream.tell())

            files.write_file(task.target, write, task.source if self.preserve else None)
        except AecError as error:
            raise sources.named(task.source, error) from None
        facts = {"width": image.width, "height": image.height, "mode": image.mode, "format": self.format, **facts,
                 "seconds": round(seconds, 4)}
        return Outcome(task, facts=facts, notes=notes, bytes_read=len(data), bytes_written=size[0])
