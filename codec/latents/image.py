"""A picture as its latents: looked at, cut and put together without ever making pixels of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import models, thumbnail
from ..api import Codec, default_codec
from ..coder import Coder, Latents
from ..format import boxes, container
from ..format.constants import HYPER_STRIDE, STRIDE, quality_of
from ..format.opening import Data, read_file
from ..picture import reading
from ..picture.alpha import find_alpha, pack_alpha
from . import costs

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[int, int, int, int]
_Z_STRIDE = STRIDE * HYPER_STRIDE


def read_latents(data: Data, codec: Codec | None = None) -> LatentImage:
    """A picture as the latents that its .aec file holds; its pixels are not computed.

    Args:
        data: the file's bytes, its path, or a file object open for reading.
        codec: without it the one that `aecodec.decode` uses.

    Raises:
        As `Codec.latents`: NotAec, UnsupportedVersion, CorruptFile, LimitExceeded, UnknownModel, UnsupportedPicture.
    """
    codec = codec or default_codec()
    file = read_file(data, codec.limit_pixels)
    coder = codec.coder_of(file.header)
    return LatentImage(coder.latents(file), coder)


@dataclass(frozen=True, eq=False)
class LatentImage:
    """A picture as its latents, on a grid of cells of 16x16 pixels. What changes it gives a new one.

    `latents.y` is float32 `[M, h, w]`, `latents.z` int16 `[Z, ceil(h / 4), ceil(w / 4)]` or None where it must be made
    anew; see `aecodec.Latents`.
    """

    latents: Latents
    coder: Coder  # with the model that the latents are of

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.latents.width, self.latents.height

    @property
    def quality(self) -> float:
        """0..100, of its quality level."""
        return quality_of(self.latents.level)

    # -- to look at ---------------------------------------------------------------------------------------------------

    def thumbnail(self, scale: int = STRIDE) -> Image.Image:
        """The picture at 1/16 or 1/8 of its size (sides rounded up), by a linear map of the latents.

        At 1/16 it is as near to the picture as a JPEG of quality 95 would be; it takes no network.

        Raises:
            ValueError: another scale.
            UnknownModel: the model has no such map.
        """
        if scale not in (STRIDE, thumbnail.SCALE):
            raise ValueError(f"scale {scale} is not 16 or 8; for a larger picture, render() it")
        small = self._eighth()
        if scale == STRIDE:
            height, width = (side + side % 2 for side in small.shape[:2])
            even = np.pad(small, ((0, height - small.shape[0]), (0, width - small.shape[1]), (0, 0)), mode="edge")
            small = np.rint(even.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
        alpha = find_alpha(self.latents.boxes, *self.size)
        if alpha is not None:
            from PIL import Image

            alpha = np.asarray(Image.fromarray(alpha).reduce(scale))
        return reading.to_image(small, self.latents.grey, alpha, boxes.metadata(self.latents.boxes))

    def _eighth(self) -> np.ndarray:
        try:
            head = thumbnail.ThumbnailHead(self.coder.extras, self.latents.point)
        except KeyError:
            raise models.UnknownModel("this model has no head for thumbnails; `aecodec export FOLDER --heads --data "
                                      "PHOTOS` makes one") from None
        width, height = (-(-side // thumbnail.SCALE) for side in self.size)
        return np.concatenate(list(head([self.latents.y])))[:height, :width]

    def bits(self) -> np.ndarray:
        """Where the file's bits go: float32 `[h, w]`, those of every cell of 16x16 pixels.

        Their sum is the size of the payload, but for a few bytes. Those of the hyper-latents are spread evenly over the
        cells that they stand for.
        """
        return costs.by_cell(self.coder.read_symbols(self._file()), self.coder.tables)

    def render(self) -> Image.Image:
        """The picture itself: what decoding gives."""
        alpha = find_alpha(self.latents.boxes, *self.size)
        contents = boxes.metadata(self.latents.boxes)
        return reading.to_image(self.coder.render(self.latents), self.latents.grey, alpha, contents)

    # -- to change ----------------------------------------------------------------------------------------------------

    def crop(self, box: Box) -> LatentImage:
        """A part of the picture.

        Where the box lies on the grid of 64 pixels, what is kept is what the file held but for what its new edges
        change; elsewhere its hyper-latents are made anew and every latent is rounded once more.

        Args:
            box: left, upper, right and lower edge in pixels, as Pillow's `crop` takes them, within the picture; on the
                grid of 16 pixels, or right and lower at the picture's own edge.

        Raises:
            ValueError: a box that is not so.
        """
        left, upper, right, lower = box
        width, height = self.size
        if not (0 <= left < right <= width and 0 <= upper < lower <= height):
            raise ValueError(f"the box {box} does not lie within the picture's {width}x{height} pixels")
        if left % STRIDE or upper % STRIDE or (right % STRIDE and right != width) or (
                lower % STRIDE and lower != height):
            raise ValueError(f"the box {box} is not on the grid of 16 pixels; {_outer(box, width, height)} is, and "
                             "holds it")
        y = self.latents.y[:, _cells(upper, lower), _cells(left, right)]
        z = None
        if self.latents.z is not None and left % _Z_STRIDE == upper % _Z_STRIDE == 0:
            z = self.latents.z[:, _cells(upper, lower, _Z_STRIDE), _cells(left, right, _Z_STRIDE)].copy()
        alpha = find_alpha(self.latents.boxes, width, height)
        kept = tuple(item for item in self.latents.boxes if item.kind not in (boxes.ALPHA, boxes.GAIN_MAP))
        if alpha is not None:
            kept = (container.Box(boxes.ALPHA, pack_alpha(alpha[upper:lower, left:right])), *kept)
        return replace(self, latents=replace(self.latents, y=y.copy(), z=z, width=right - left, height=lower - upper,
                                             boxes=kept))

    def paste(self, other: LatentImage, at: tuple[int, int] = (0, 0)) -> LatentImage:
        """This picture with another in place of a part of it. Metadata are this one's.

        Args:
            other: a picture of the same model, tune and quality level.
            at: where its left upper corner comes, in pixels, on the grid of 16. It must lie within this picture, its
                sides be multiples of 16 or end with this picture's.

        Raises:
            ValueError: it cannot come there, or is of another model, level or colour profile.
        """
        mine, its = self.latents, other.latents
        if other.coder.bundle_hash != self.coder.bundle_hash or its.point != mine.point:
            raise ValueError(f"its latents are of another model, tune or level ({its.tune} {its.level}, here "
                             f"{mine.tune} {mine.level}); encode its picture as this one was")
        left, upper = at
        right, lower = left + its.width, upper + its.height
        if left % STRIDE or upper % STRIDE or left < 0 or upper < 0:
            raise ValueError(f"{at} is not on the grid of 16 pixels")
        if right > mine.width or lower > mine.height or (its.width % STRIDE and right != mine.width) or (
                its.height % STRIDE and lower != mine.height):
            raise ValueError(f"{its.width}x{its.height} pixels at {at} do not end on the grid of 16 pixels within "
                             f"{mine.width}x{mine.height}; crop it first")
        profiles = [boxes.metadata(one.boxes).get(boxes.ICC) for one in (mine, its)]
        if profiles[0] != profiles[1]:
            raise ValueError("the pictures have different colour profiles; convert one to the other's before encoding")
        y = mine.y.copy()
        y[:, _cells(upper, lower), _cells(left, right)] = its.y
        z = None
        if mine.z is not None and its.z is not None and not (
                left % _Z_STRIDE or upper % _Z_STRIDE or (right % _Z_STRIDE and right != mine.width)
                or (lower % _Z_STRIDE and lower != mine.height)):
            z = mine.z.copy()
            z[:, _cells(upper, lower, _Z_STRIDE), _cells(left, right, _Z_STRIDE)] = its.z
        return replace(self, latents=replace(mine, y=y, z=z, grey=mine.grey and its.grey,
                                             boxes=self._boxes_with(other, (left, upper, right, lower))))

    def _boxes_with(self, other: LatentImage, place: Box) -> tuple[container.Box, ...]:
        """The boxes of this picture, its alpha with the other's in its place."""
        kept = tuple(item for item in self.latents.boxes if item.kind not in (boxes.ALPHA, boxes.GAIN_MAP))
        mine = find_alpha(self.latents.boxes, *self.size)
        its = find_alpha(other.latents.boxes, *other.size)
        if mine is None and its is None:
            return kept
        alpha = np.full(self.size[::-1], 255, np.uint8) if mine is None else mine
        left, upper, right, lower = place
        alpha[upper:lower, left:right] = 255 if its is None else its
        return (container.Box(boxes.ALPHA, pack_alpha(alpha)), *kept)

    def encode(self) -> bytes:
        """The .aec file that holds these latents, made without pixels. Of what `read_latents` gave, the same payload.
        """
        return container.write_file(self._file())

    def _file(self) -> container.AecFile:
        # Symbols are not moved: those of a file have been, and would be a second time.
        return self.coder.encode_latents(self.latents, rdoq_strength=0.0)


def _cells(first: int, last: int, stride: int = STRIDE) -> slice:
    return slice(first // stride, -(-last // stride))


def _outer(box: Box, width: int, height: int) -> Box:
    """The smallest box on the grid around another."""
    left, upper, right, lower = box
    return (left // STRIDE * STRIDE, upper // STRIDE * STRIDE, min(-(-right // STRIDE) * STRIDE, width),
            min(-(-lower // STRIDE) * STRIDE, height))
