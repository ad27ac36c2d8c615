"""Small pictures of files, without decoding all of them: a linear head on the latents in place of the synthesis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from .format import boxes
from .format.constants import DECODERS_PREFIX, STRIDE
from .picture import reading
from .picture.alpha import find_alpha

if TYPE_CHECKING:
    from PIL import Image

    from .api import Codec
    from .coder import Coder
    from .format.container import AecFile

PREFIX = f"{DECODERS_PREFIX}thumbnail."
SCALE = 8  # a picture's pixels per pixel of the head's, each way
SIDE = STRIDE // SCALE  # of what a latent position becomes
RADIUS = 1  # of the head's filters


class ThumbnailHead:
    """A linear map from latents to a picture at 1/8 of the size: FORMAT.md, section 4.

    Args:
        tensors: of a model, those of the head among them.
        point: operating point of the latents.

    Raises:
        KeyError: the model has no such head.
    """

    def __init__(self, tensors: dict[str, np.ndarray], point: int) -> None:
        points = tensors[f"{PREFIX}points"]
        last = int(np.searchsorted(points[1:-1], point, side="right")) + 1
        share = (point - int(points[last - 1])) / (int(points[last]) - int(points[last - 1]))
        weight, bias = (self._between(tensors[PREFIX + name], last, share) for name in ("weight", "bias"))
        # A row for each place in the neighbourhood and each output: [9 * 12, M].
        self._weight = np.ascontiguousarray(weight.transpose(2, 3, 0, 1).reshape(-1, weight.shape[1]))
        self._bias = bias

    @staticmethod
    def _between(knots: np.ndarray, last: int, share: float) -> np.ndarray:
        return np.float32(1 - share) * knots[last - 1] + np.float32(share) * knots[last]

    def __call__(self, latents: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Strips of latents `float32 [M, rows, w]` to strips of the picture, `uint8 [2 rows, 2 w, 3]`."""
        strips = iter(latents)
        current = next(strips, None)
        above = None if current is None else current[:, :RADIUS]
        while current is not None:
            following = next(strips, None)
            below = current[:, -RADIUS:] if following is None else following[:, :RADIUS]
            assert above is not None
            yield self._pixels(np.concatenate([above, current, below], axis=1))
            above, current = current[:, -RADIUS:], following

    def _pixels(self, window: np.ndarray) -> np.ndarray:
        """Of a strip with the rows around it."""
        window = np.pad(window, ((0, 0), (0, 0), (RADIUS, RADIUS)), mode="edge")
        rows, columns = window.shape[1] - 2 * RADIUS, window.shape[2] - 2 * RADIUS
        side = 2 * RADIUS + 1
        parts = self._weight @ window.reshape(window.shape[0], -1)
        parts = parts.reshape(side, side, -1, *window.shape[1:])
        total = np.tile(self._bias[:, None, None], (1, rows, columns))
        for row in range(side):
            for column in range(side):
                total += parts[row, column, :, row:row + rows, column:column + columns]
        pixels = np.rint(total).clip(0, 255).astype(np.uint8).reshape(3, SIDE, SIDE, rows, columns)
        return pixels.transpose(3, 1, 4, 2, 0).reshape(rows * SIDE, columns * SIDE, 3)


def pixels(coder: Coder, file: AecFile, timings: dict[str, float] | None = None) -> np.ndarray | None:
    """A file's picture at 1/8, `uint8 [ceil(H / 8), ceil(W / 8), 3]`; None if its model has no head for that.

    Raises as `Coder.read_symbols` does.
    """
    header, engine = file.header, coder.engine
    if f"{PREFIX}weight" not in coder.extras:
        return None
    symbols = coder.read_symbols(file, timings)
    strips = engine.dequantise(symbols.y, symbols.z, symbols.y_tables, header.point)
    head = ThumbnailHead(coder.extras, header.point)
    made = np.concatenate(list(head(engine.to_array([strip]) for strip in strips)))
    return made[:-(-header.height // SCALE), :-(-header.width // SCALE)]


def of_file(codec: Codec, file: AecFile, fit: int, timings: dict[str, float] | None = None,
            progress: Callable[[float], None] | None = None) -> Image.Image:
    """The picture of a file, scaled down to fit into `fit` by `fit` pixels; never up.

    If that is an eighth of its size or less, it is not decoded in full.

    Args:
        file: what `container.read_file` has read.
        timings, progress: see `Codec.decode`.
    """
    header = file.header
    size = fitting(header.width, header.height, fit)
    small = None if header.lossless or not worth_it((header.width, header.height), size) else at_an_eighth(
        codec, file, timings)
    if small is None:
        image = codec.decode_file(file, timings, progress)
        image.thumbnail((fit, fit))
        return image
    exact = (0.0, 0.0, header.width / SCALE, header.height / SCALE)  # its last pixels may be less than 8 wide
    info = small.info
    made = small.resize(size, box=exact, reducing_gap=2.0)
    made.info = info
    if progress is not None:
        progress(1.0)
    return made


def at_an_eighth(codec: Codec, file: AecFile, timings: dict[str, float] | None = None) -> Image.Image | None:
    """The picture of a lossy file at 1/8, sides rounded up, alpha too; None if its model has no head for that."""
    from PIL import Image

    header = file.header
    contents = boxes.metadata(file.boxes)
    alpha = find_alpha(file.boxes, header.width, header.height)
    found = pixels(codec.coder_of(header), file, timings)
    if found is None:
        return None
    if alpha is not None:
        alpha = np.asarray(Image.fromarray(alpha).reduce(SCALE))
    return reading.to_image(found, header.grey, alpha, contents)


def worth_it(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether a picture of 1/8 of a size is large enough for the size that is wanted."""
    return all(SCALE * small <= side for small, side in zip(wanted, size, strict=True))


def fitting(width: int, height: int, fit: int) -> tuple[int, int]:
    """The size that `Image.thumbnail` gives a picture which is to fit into `fit` by `fit` pixels."""
    if max(width, height) <= fit:
        return width, height
    aspect = width / height
    if aspect <= 1:
        return _nearest(fit * aspect, lambda n: abs(aspect - n / fit)), fit
    return fit, _nearest(fit / aspect, lambda n: abs(aspect - fit / n) if n else 0)


def _nearest(number: float, error: Callable[[int], float]) -> int:
    return max(min(math.floor(number), math.ceil(number), key=error), 1)
