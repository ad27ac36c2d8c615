"""What a file is to be like, and the file that is: a quality, a target that is searched for, or nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from . import search
from .errors import AecError
from .format import container
from .format.constants import DEFAULT_QUALITY, LEVELS, TUNES, level_of
from .picture import lossless
from .picture.reading import Picture
from .search import Encoder, Reached

Lossless: TypeAlias = Literal["auto"] | bool
Progress: TypeAlias = Callable[[float], None]


@dataclass(frozen=True)
class Goal:
    """What a file is to be like. Without a quality, level or target it is the default quality.

    Raises:
        TypeError: a field is of another type.
        ValueError: more than one of them is set, or one is out of range.
    """

    quality: float | None = None  # 0..100
    level: int | None = None  # 0..63, of the network: never lossless by itself
    target_size: int | None = None  # the best quality in so many bytes
    target_bpp: float | None = None  # the best quality in so many bits per pixel
    target_psnr: float | None = None  # the smallest file with so many dB
    target_ssimulacra2: float | None = None  # the smallest file with this score
    lossless: Lossless = "auto"  # "auto": where that makes the smaller file, or the better one within a size
    tune: str = TUNES[0]  # what a lossy file is made for: `visual` or `psnr`; with any of the others

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)
                 if field.name not in ("lossless", "tune") and getattr(self, field.name) is not None}
        for name, value in given.items():
            if not _is_number(value):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
        if self.lossless not in (True, False, "auto"):
            raise ValueError(f'lossless {self.lossless!r} is not known; choose True, False or "auto"')
        if self.tune not in TUNES:
            raise ValueError(f"tune {self.tune!r} is not known; choose {' or '.join(TUNES)}")
        if self.lossless is True:
            given["lossless"] = True
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; pass one of them")
        if self.quality is not None:
            level_of(self.quality)
        if self.level is not None and not 0 <= self.level < LEVELS:
            raise ValueError(f"level {self.level} is outside 0..{LEVELS - 1}")
        for name in ("target_size", "target_bpp"):
            if name in given and not given[name] > 0:
                raise ValueError(f"{name} {given[name]} is not above 0")

    @property
    def searched(self) -> bool:
        """Whether it takes several encodings to meet."""
        return any(value is not None for value in (self.target_size, self.target_bpp, self.target_psnr,
                                                   self.target_ssimulacra2))


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
        return not isinstance(value, (bool, str, bytes))
    except (TypeError, ValueError):
        return False


def reach(codec: Encoder, picture: Picture, goal: Goal, strip: bool = False,
          timings: dict[str, float] | None = None, progress: Progress | None = None) -> Reached:
    """The file of a picture that meets a goal.

    Args:
        codec: what encodes.
        strip: leave out what is not needed to show the picture.
        timings: receives the seconds spent per stage, where nothing is searched for.
        progress: told how much of it is done, 0..1, and 1 at the end; a search for a target tells of its encodings.

    Raises:
        AecError: the target cannot be met; the message tells what can.
        UnsupportedPicture: it is too large for a lossless file that was asked for.
    """
    reached = _reach(codec, picture, goal, strip, timings, progress)
    if progress is not None:
        progress(1.0)
    return reached


def _reach(codec: Encoder, picture: Picture, goal: Goal, strip: bool, timings: dict[str, float] | None,
           progress: Progress | None) -> Reached:
    if goal.lossless is True:
        file = lossless.encode(picture, strip)
        assert file is not None
        return Reached(container.write_file(file), None, 1)
    may_be_lossless = goal.lossless == "auto" and goal.level is None and lossless.drawn(picture)
    size = _size(goal, picture)
    if size is not None:
        file = lossless.encode(picture, strip, below=size) if may_be_lossless else None
        data = container.write_file(file) if file else b""
        if data and len(data) <= size:
            return Reached(data, None, 1)
        try:
            return search.for_size(_Told(codec, goal.tune, progress), picture, size, strip)
        except AecError as error:
            raise (AecError(f"{error}; without loss it has {len(data):,} bytes") if data else error) from None
    lossy = _lossy(codec, picture, goal, strip, timings, progress)
    return _smaller(picture, strip, lossy) if may_be_lossless else lossy


def _size(goal: Goal, picture: Picture) -> int | None:
    if goal.target_bpp is None:
        return goal.target_size
    return int(goal.target_bpp * picture.pixels.shape[0] * picture.pixels.shape[1] / 8)


def _lossy(codec: Encoder, picture: Picture, goal: Goal, strip: bool, timings: dict[str, float] | None,
           progress: Progress | None) -> Reached:
    if goal.target_psnr is not None:
        return search.for_psnr(_Told(codec, goal.tune, progress), picture, goal.target_psnr, strip)
    if goal.target_ssimulacra2 is not None:
        return search.for_ssimulacra2(_Told(codec, goal.tune, progress), picture, goal.target_ssimulacra2, strip)
    level = level_of(DEFAULT_QUALITY if goal.quality is None else goal.quality) if goal.level is None else goal.level
    data = codec.encode_picture(picture, level, strip=strip, timings=timings, progress=progress, tune=goal.tune)
    return Reached(data, level, 1)


class _Told:
    """A codec for one tune that tells of each encoding as one of the most that a search takes."""

    def __init__(self, codec: Encoder, tune: str, progress: Progress | None) -> None:
        self.decode, self._codec, self._progress, self._encodes = codec.decode, codec, progress, 0
        self._tune = tune

    def encode_picture(self, read: Picture, level: int, **options: Any) -> bytes:
        data = self._codec.encode_picture(read, level, tune=self._tune, **options)
        self._encodes += 1
        if self._progress is not None:
            self._progress(min(self._encodes / search.MOST_ENCODES, 1.0))
        return data


def _smaller(picture: Picture, strip: bool, lossy: Reached) -> Reached:
    """The lossless file, if it has fewer bytes than the lossy one, else that."""
    file = lossless.encode(picture, strip, below=len(lossy.data))
    if file is None or len(data := container.write_file(file)) >= len(lossy.data):
        return lossy
    return Reached(data, None, lossy.encodes + 1, lossy_size=len(lossy.data))
