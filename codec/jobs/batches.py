"""The codec as classes for batches of rows: `ray.data.Dataset.map_batches(Encoder, ...)`, or any dict of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AecError
from ..format.constants import TUNES
from ..format.container import MAX_PIXELS
from . import local, sources
from .compress import Compress
from .decompress import Decompress
from .loading import LoadedWhenUsed

if TYPE_CHECKING:
    import numpy as np


class Encoder:
    """Compresses a column of pictures. The codec is loaded with the first batch.

        pictures = ray.data.read_binary_files("s3://photos/", include_paths=True)
        files = pictures.map_batches(Encoder, fn_constructor_kwargs={"quality": 75}, concurrency=8, num_cpus=1)

    Args:
        quality, target_size, target_bpp, target_psnr, target_ssimulacra2, lossless, tune, strip: see `aecodec.encode`.
        column: with the bytes of picture files, as `ray.data.read_binary_files` gives them, or with arrays `uint8`
            [H, W] or [H, W, C], as `ray.data.read_images` gives them in `image`.
        output: the column that .aec files go into, as bytes; no bytes where a picture could not be coded.
        threads: of a worker; give it as many cores (`num_cpus`).
        device, model, engine, limit_pixels: see `aecodec.Codec`.

    A call takes and gives a batch: columns by their names. A column `error` says what is wrong with a picture, and is
    empty where all is well; a row that has an error already keeps it. Pictures are called by the column `path`, if
    there is one.

    Raises:
        ValueError: see `aecodec.encode`.
    """

    def __init__(self, quality: float | None = None, *, column: str = "bytes", output: str = "aec",
                 target_size: int | None = None, target_bpp: float | None = None, target_psnr: float | None = None,
                 target_ssimulacra2: float | None = None, lossless: Any = "auto", tune: str = TUNES[0],
                 strip: bool = False, device: str = "auto", model: str | None = None, engine: str = "auto",
                 threads: int = 1, limit_pixels: int | None = MAX_PIXELS) -> None:
        from ..goals import Goal

        self.column, self.output = column, output
        goal = Goal(quality, None, target_size, target_bpp, target_psnr, target_ssimulacra2, lossless, tune)
        self.work = Compress(LoadedWhenUsed(device, model, threads, limit_pixels, 1, engine), goal, strip)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        return _with(batch, self.column, self.output, self._encoded, b"")

    def _encoded(self, path: Path, value: Any) -> bytes:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self.work.code(path, bytes(value)).data
        from ..picture import reading

        return self.work.code_picture(reading.read(value, self.work.codec.limit_pixels)).data


class Decoder:
    """Decompresses a column of .aec files; see `Encoder`.

    Args:
        column: with the bytes of .aec files.
        output: the column that pictures go into: arrays `uint8` [H, W] or [H, W, C], or the bytes of files; an array
            [0, 0, 3], or no bytes, where a file could not be decoded.
        format: of the files, png, jpg, webp ...; None for arrays.
        quality: 1..100, of a lossy format; None for the usual one.
        threads, device, model, engine, limit_pixels: see `Encoder`.
    """

    def __init__(self, *, column: str = "aec", output: str = "image", format: str | None = None,
                 quality: int | None = None, device: str = "auto", model: str | None = None, engine: str = "auto",
                 threads: int = 1, limit_pixels: int | None = MAX_PIXELS) -> None:
        from ..picture import saving

        if format is not None and f".{format}" not in saving.FORMATS:
            raise ValueError(f"format {format!r} is not known; choose one of "
                             f"{', '.join(name[1:] for name in saving.FORMATS)}")
        self.column, self.output, self.format = column, output, format
        codec = LoadedWhenUsed(device, model, threads, limit_pixels, 1, engine)
        self.work = Decompress(codec, saving.FORMATS[f".{format or 'png'}"], quality)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        import numpy as np

        nothing = np.zeros((0, 0, 3), np.uint8) if self.format is None else b""
        return _with(batch, self.column, self.output, self._decoded, nothing)

    def _decoded(self, path: Path, value: Any) -> Any:
        if self.format is None:
            try:
                return self.work.codec().decode(bytes(value), output="array")
            except AecError as error:
                raise sources.named(path, error) from None
        return self.work.code(path, bytes(value)).data


def _with(batch: Mapping[str, Sequence[Any]], column: str, output: str, coded: Callable[[Path, Any], Any],
          nothing: Any) -> dict[str, Any]:
    """A batch with the column of what comes of another one, `nothing` where that failed, and that of what is wrong.

    No value is None: in a block of nothing else, Ray would make numbers of them.
    """
    if column not in batch:
        raise ValueError(f"there is no column {column!r} in this batch, but {', '.join(batch)}; name one with column=")
    paths, earlier = batch.get("path"), batch.get("error")
    made: list[Any] = []
    errors: list[str] = []
    for row, value in enumerate(batch[column]):
        path = Path(f"row {row}" if paths is None else str(paths[row]))
        if earlier is not None and earlier[row]:
            made.append(nothing)
            errors.append(str(earlier[row]))
            continue
        try:
            made.append(coded(path, value))
            errors.append("")
        except Exception as error:
            known = local.told(str(path), error)
            if known is None:
                raise
            made.append(nothing)
            errors.append(str(known))
    return {**batch, output: _objects(made), "error": _objects(errors)}


def _objects(values: Sequence[Any]) -> np.ndarray:
    """A column `object [B]`: NumPy's own strings would lose zeros at their ends."""
    import numpy as np

    column = np.empty(len(values), object)
    for row, value in enumerate(values):
        column[row] = value
    return column
