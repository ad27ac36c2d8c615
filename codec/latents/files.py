"""The latents of a file, whatever it is: of an .aec file those that it holds, of another picture those it would have.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ..coder import Latents
from ..errors import UnknownModel
from ..format import boxes, container
from ..format.constants import DEFAULT_QUALITY, level_of
from ..format.container import AecFile
from ..picture import reading
from ..picture.reading import Picture

if TYPE_CHECKING:
    from ..api import Codec


def read(data: bytes, limit_pixels: int | None = container.MAX_PIXELS) -> AecFile | Picture:
    """What the bytes of an .aec file or of another picture hold.

    Raises:
        AecError: the file is damaged, or too large.
        OSError: no picture that Pillow can read.
    """
    if not data.startswith(container.MAGIC):
        return reading.read(BytesIO(data), limit_pixels)
    file = container.read_file(data, boxes.KNOWN)
    container.check_pixels(file.header.width, file.header.height, limit_pixels)
    return file


def latents_of(codec: Codec, content: AecFile | Picture, enlarged: int = 1) -> Latents:
    """The latents of what `read` gave; those of an .aec file are read from it, and it is not decoded.

    Args:
        enlarged: by so much each way before it is analysed, so that a latent stands for fewer pixels. With more than 1
            an .aec file is decoded for it, as a lossless one always is.

    Raises:
        UnknownModel: a file that another model made.
        CorruptFile: a file whose latents are damaged.
    """
    level = level_of(DEFAULT_QUALITY)
    if isinstance(content, AecFile):
        header = content.header
        if not header.lossless:
            if header.model_id != codec.model.id or header.bundle_hash != codec.coder.bundle_hash:
                raise UnknownModel(f"it was made with model {header.model_id:#06x} and weights "
                                   f"{header.bundle_hash.hex()}, not with {codec.model.name}: its latents cannot be "
                                   "compared with those of others; decode it to a picture first")
            if enlarged == 1:
                return codec.coder.latents(content)
        pixels = np.asarray(codec.decode_file(content).convert("RGB"))
    else:
        pixels = content.pixels
    if enlarged > 1:
        from PIL import Image

        size = pixels.shape[1] * enlarged, pixels.shape[0] * enlarged
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    return codec.coder.analyse(pixels, level)
