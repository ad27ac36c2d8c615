"""The work of compressing: a picture file to an .aec file. It can be pickled."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import files
from ..errors import AecError
from ..format import container
from ..format.constants import DEFAULT_QUALITY, level_of
from . import sources
from .existing import up_to_date
from .loading import LoadedWhenUsed
from .local import Outcome, Status, Task

if TYPE_CHECKING:
    from ..api import Codec
    from ..picture.reading import Picture
    from ..search import Reached


@dataclass(frozen=True)
class Goal:
    """What a file is to be like. One of the fields at most is set; without any, quality is the default one."""

    quality: float | None = None  # 0..100
    size: int | None = None  # in bytes
    bpp: float | None = None  # bits per pixel
    psnr: float | None = None  # in dB

    @property
    def searched(self) -> bool:
        """Whether it takes several encodings to meet."""
        return any(value is not None for value in (self.size, self.bpp, self.psnr))


@dataclass(frozen=True)
class Compress:
    """Compresses the picture of a task."""

    codec: LoadedWhenUsed
    goal: Goal = Goal()
    strip: bool = False  # leave out what is not needed to show the picture
    verify: bool = False  # read back, decode and compare
    force: bool = False  # overwrite
    skip_existing: bool = False  # leave an output that is whole and not older than its input
    preserve: bool = True  # keep permissions and times

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        if self.skip_existing and up_to_date(task, self.force, _whole):
            return Outcome(task, Status.SKIPPED)
        data = files.read_bytes(task.source)
        picture = sources.read_picture(task.source, data, self.codec.limit_pixels)
        try:
            files.check_not_same(task.source, task.target)
            files.check_output(task.target, self.force)
            return self._write(task, picture, len(data))
        except AecError as error:
            raise sources.named(task.source, error) from None

    def _write(self, task: Task, picture: Picture, size_before: int) -> Outcome:
        timings: dict[str, float] = {}
        decibels: list[float] = []
        codec = self.codec()  # its loading is not the picture's time
        began = time.perf_counter()
        reached = self._encode(codec, picture, timings)
        seconds = time.perf_counter() - began

        def check(written: bytes) -> None:
            decibels.append(verified(codec, picture, self.strip, reached.data, written))

        files.write_file(task.target, lambda file: file.write(reached.data), task.source if self.preserve else None,
                         check if self.verify else None)
        header, size = container.read_header(reached.data)[0], len(reached.data)
        facts = {"width": header.width, "height": header.height, "mode": picture.mode,
                 "bits_per_pixel": round(sources.bits_per_pixel(header, size), 4), "quality": header.quality,
                 "level": header.level, "encodes": reached.encodes, "psnr": reached.psnr,
                 "verified_psnr": decibels[0] if decibels else None, "seconds": round(seconds, 4),
                 "model": codec.model.name, "device": codec.device, "precision": codec.precision}
        return Outcome(task, facts=facts, timings=timings, notes=list(picture.notes), bytes_read=size_before,
                       bytes_written=size)

    def _encode(self, codec: Codec, picture: Picture, timings: dict[str, float]) -> Reached:
        from .. import search

        goal = self.goal
        if goal.psnr is not None:
            return search.for_psnr(codec, picture, goal.psnr, self.strip)
        if goal.size is not None or goal.bpp is not None:
            height, width = picture.pixels.shape[:2]
            size = goal.size or int((goal.bpp or 0) * width * height / 8)
            return search.for_size(codec, picture, size, self.strip)
        level = level_of(DEFAULT_QUALITY if goal.quality is None else goal.quality)
        return search.Reached(codec.encode_picture(picture, level, strip=self.strip, timings=timings), level, 1)


def _whole(data: bytes) -> None:
    sources.check(data, None)


def verified(codec: Codec, picture: Picture, strip: bool, data: bytes, written: bytes) -> float:
    """The PSNR of a file that was read back. Raises AecError if it is not the file, or does not hold the picture."""
    import numpy as np

    from .. import metrics
    from ..format import boxes
    from ..picture.alpha import find_alpha

    if written != data:
        raise AecError("what was read back differs from what was written; check the disk")
    file = container.read_file(written, boxes.KNOWN)
    decoded = codec.decode_file(file)
    height, width = picture.pixels.shape[:2]
    alpha, contents = find_alpha(file.boxes, width, height), boxes.metadata(file.boxes)
    kept = {boxes.ICC: picture.icc}
    if not strip:
        kept |= {boxes.EXIF: picture.exif, boxes.XMP: picture.xmp, boxes.GAIN_MAP: picture.gain_map}
    same_alpha = picture.alpha is alpha is None or np.array_equal(np.asarray(alpha), np.asarray(picture.alpha))
    if decoded.mode != picture.mode or decoded.size != (width, height) or not same_alpha or (
            contents != {kind: value for kind, value in kept.items() if value}):
        raise AecError("what was decoded is not what was encoded; please report it with `aecodec --version`")
    pixels = np.asarray(decoded.convert("L" if picture.grey else "RGB"))
    return metrics.psnr(picture.pixels[:, :, 0] if picture.grey else picture.pixels, pixels)
