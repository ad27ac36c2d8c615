"""How much noise a picture has, from its finest latents; and what noise of some strength does to latents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..coder import Coder
from ..errors import UnknownModel
from ..format.constants import ENCODERS_PREFIX, LEVELS
from ..format.container import operating_point

PREFIX = f"{ENCODERS_PREFIX}noise."
LEVEL = LEVELS - 1  # at which noise is looked for and taken out: the finest quantiser hides least

FINEST = slice(0, 48)  # channels by what photos have in them for each unit of noise, the least first
COARSER = slice(96, 160)  # where photos have more, and white noise as much
CELLS = 96  # at least so many cells are looked at together
MOST_BINS = 8  # of brightness
FLATTEST = 0.08  # share of them that is believed to hold noise alone
TEXTURE = 0.5  # of what coarser latents have more there, the finest have
LOWEST = 1.2  # times the energy where it is lowest is the noise's own: it is lowest by chance, too
MOST_ABOVE = 3.0  # times the median over the bins; one without a flat place would have more
LEAST_DEVIATION = 5.5  # below, what is found may as well be fine texture, and is left alone


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a picture."""

    variance: np.ndarray  # float32 [h, w]: of pixels of 0..255 in every 16x16 cell

    @property
    def deviation(self) -> float:
        """The standard deviation over the whole picture; 0: none was found."""
        return float(np.sqrt(self.variance.mean(dtype=np.float64)))


def tune_of(tunes: Sequence[str]) -> str:
    """For which of a model's tunes noise is looked for and taken out: the nearest to the squared error."""
    return tunes[-1]


class NoiseGains:
    """What noise does to the latents of a model at level 63.

    Args:
        coder: the model.

    Raises:
        UnknownModel: it has none for that.
    """

    def __init__(self, coder: Coder) -> None:
        self.point = operating_point(LEVEL, tune_of(coder.tunes))
        try:
            self.gains = coder.extras[f"{PREFIX}gains"]  # float32 [M]: the variance that noise of variance 1 gives
            energies = coder.extras[f"{PREFIX}energies"]  # float32 [M]: mean squares in photos
        except KeyError:
            raise UnknownModel("this model does not say what noise does to its latents; `aecodec export FOLDER --heads "
                               "--data PHOTOS` measures it") from None
        self._order = np.argsort(energies / self.gains)

    def estimate(self, strips: Iterable[np.ndarray], brightness: np.ndarray) -> Noise:
        """The noise of a picture.

        White noise is as strong in all latents, measured by their gains, and photos have little in the finest of them,
        least of all where they are flat. So for every range of brightness, which noise depends on, the energy of the
        finest latents in the flattest places is taken for noise; but for what coarser ones have more there, which is
        texture. (As with the median of the finest wavelet coefficients in Donoho and Johnstone, "Ideal spatial
        adaptation by wavelet shrinkage", Biometrika 1994.)

        Args:
            strips: latents at level 63, `[M, rows, w]` each.
            brightness: `[h, w]`, of every cell.
        """
        both = np.concatenate([self._order[FINEST], self._order[COARSER]])
        y = np.concatenate([strip[both] for strip in strips], axis=1)
        y -= np.median(y.reshape(len(y), -1), axis=1)[:, None, None]
        np.square(y, out=y)
        y /= self.gains[both, None, None]
        count = FINEST.stop - FINEST.start
        fine, coarse = y[:count].mean(axis=0), y[count:].mean(axis=0)
        height, width = (max(side // 2, 1) for side in fine.shape)
        cells = [_pooled(array, height, width).ravel() for array in (fine, coarse, brightness.astype(np.float32))]
        levels, variances = self._by_brightness(*cells)
        variance = np.interp(brightness, levels, variances).astype(np.float32)
        found = Noise(variance)
        return found if found.deviation >= LEAST_DEVIATION else Noise(np.zeros_like(variance))

    @staticmethod
    def _by_brightness(fine: np.ndarray, coarse: np.ndarray, brightness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Brightness and variance of the noise in ranges of brightness that hold as many cells each."""
        bins = np.array_split(np.argsort(brightness, kind="stable"), min(max(len(fine) // CELLS, 1), MOST_BINS))
        levels, variances = [], []
        for cells in bins:
            flattest = cells[np.argsort((fine + coarse)[cells])[:max(round(FLATTEST * len(cells)), 1)]]
            noise, texture = fine[flattest].mean(), coarse[flattest].mean()
            levels.append(brightness[cells].mean())
            variances.append(LOWEST * max(noise - TEXTURE * max(texture - noise, 0.0), 0.0))
        return np.array(levels), np.minimum(variances, MOST_ABOVE * np.median(variances))


def _pooled(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means of 2x2, an odd row or column left out, but never all."""
    rows, columns = (1 if side == 1 else 2 for side in array.shape)
    cut = array[:rows * height, :columns * width]
    return cut.reshape(height, rows, width, columns).mean(axis=(1, 3))
