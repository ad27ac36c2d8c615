"""The work of compressing: a picture file to an .aec file. It can be pickled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import AecError
from ..format import container
from ..format.constants import DEFAULT_QUALITY
from . import sources
from .coding import Made
from .existing import up_to_date
from .loading import LoadedWhenUsed
from .local import Outcome, Status, Task
from .restore import Restored
from .storage import Location

if TYPE_CHECKING:
    from ..api import Codec
    from ..goals import Goal
    from ..picture.reading import Picture


@dataclass(frozen=True)
class Compress:
    """Compresses the picture of a task."""

    codec: LoadedWhenUsed
    goal: Goal
    strip: bool = False  # leave out what is not needed to show the picture
    verify: bool = False  # read back, decode and compare
    force: bool = False  # overwrite
    skip_existing: bool = False  # leave an output that is whole and not older than its input
    preserve: bool = True  # keep permissions and times
    denoise: partial[Restored] | None = None  # takes noise of strength `sigma` out of the picture before
    progress: Callable[[float], None] | None = None  # told of a picture's share, 0..1

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        if self.skip_existing and up_to_date(task, self.force, _whole):
            return Outcome(task, Status.SKIPPED)
        data = files.read_bytes(task.source)
        picture = sources.read_picture(task.source, data, self.codec.limit_pixels)
        try:
            files.check_not_same(task.source, task.target)
            files.check_output(task.target, self.force)
            made = self.code_picture(picture)
            files.write_file(task.target, lambda file: file.write(made.data), task.source if self.preserve else None,
                             made.check)
        except AecError as error:
            raise sources.named(task.source, error) from None
        return Outcome(task, facts=made.facts, timings=made.timings, notes=made.notes, bytes_read=len(data),
                       bytes_written=len(made.data))

    def code(self, source: Location, data: bytes) -> Made:
        """The .aec file: see `coding.Coding`."""
        picture = sources.read_picture(source, data, self.codec.limit_pixels)
        try:
            return self.code_picture(picture)
        except AecError as error:
            raise sources.named(source, error) from None

    def settings(self) -> dict[str, Any]:
        """See `coding.Coding`."""
        wanted = {field.name: getattr(self.goal, field.name) for field in fields(self.goal)
                  if getattr(self.goal, field.name) != field.default}
        if wanted.get("quality") == DEFAULT_QUALITY:
            del wanted["quality"]
        if self.denoise is not None:
            wanted["denoise"] = self.denoise.keywords["sigma"]
        return wanted | ({"strip": True} if self.strip else {})

    def code_picture(self, picture: Picture) -> Made:
        """The .aec file of a picture that is read already. Raises AecError."""
        from ..goals import reach

        timings: dict[str, float] = {}
        height, width = picture.pixels.shape[:2]
        codec = self.codec(width * height)  # its loading is not the picture's time
        began = time.perf_counter()
        taken_out: dict[str, Any] = {}
        if self.denoise is not None:
            picture, taken_out = self.denoise(codec, picture, None)
        reached = reach(codec, picture, self.goal, self.strip, timings, self.progress)
        seconds = time.perf_counter() - began

        header, size = container.read_header(reached.data)[0], len(reached.data)
        facts = {"width": header.width, "height": header.height, "mode": picture.mode,
                 "bits_per_pixel": round(sources.bits_per_pixel(header, size), 4), "coding": header.coding,
                 "quality": header.quality, "level": reached.level, "tune": None if header.lossless else header.tune,
                 "encodes": reached.encodes, "psnr": reached.psnr, "ssimulacra2": reached.ssimulacra2,
                 "lossy_bytes": reached.lossy_size, "verified": False, "verified_psnr": None,
                 "seconds": round(seconds, 4), "model": codec.model.name, "device": codec.device,
                 "precision": codec.precision, **taken_out}

        def check(written: bytes) -> None:
            decibels = verified(codec, picture, self.strip, reached.data, written)
            facts.update(verified=True, verified_psnr=decibels if math.isfinite(decibels) else None)

        return Made(reached.data, facts, timings, list(picture.notes), check if self.verify else None)


def _whole(data: bytes) -> None:
    sources.check(data, None)


def verified(codec: Codec, picture: Picture, strip: bool, data: bytes, written: bytes) -> float:
    """The PSNR of a file that was read back. Raises AecError if it is not the file, or does not hold the picture."""
    import numpy as np

    from .. import metrics
    from ..format import boxes

    if written != data:
        raise AecError("what was read back differs from what was written; check the disk")
    file = container.read_file(written, boxes.KNOWN)
    decoded = codec.decode_file(file)
    height, width = picture.pixels.shape[:2]
    contents = boxes.metadata(file.boxes)
    alpha = np.asarray(decoded.getchannel("A")) if decoded.mode.endswith("A") else None
    kept = {boxes.ICC: picture.icc}
    if not strip:
        kept |= {boxes.EXIF: picture.exif, boxes.XMP: picture.xmp, boxes.GAIN_MAP: picture.gain_map}
    same_alpha = picture.alpha is alpha is None or np.array_equal(np.asarray(alpha), np.asarray(picture.alpha))
    if decoded.mode != picture.mode or decoded.size != (width, height) or not same_alpha or (
            contents != {kind: value for kind, value in kept.items() if value}):
        raise AecError("what was decoded is not what was encoded; please report it with `aecodec --version`")
    pixels = np.asarray(decoded.convert("L" if picture.grey else "RGB"))
    decibels = metrics.psnr(picture.pixels[:, :, 0] if picture.grey else picture.pixels, pixels)
    if file.header.lossless and math.isfinite(decibels):
        raise AecError("pixels of a lossless file differ; please report it with `aecodec --version`")
    return decibels
