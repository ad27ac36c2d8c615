"""What `compress` and `decompress` are asked for, and whether it is about objects in stores or on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ..jobs import storage
from ..jobs.loading import LoadedWhenUsed
from ..jobs.storage import Location, Url
from .options import Batch


@dataclass(frozen=True)
class Request:
    """What a command is asked to do to objects."""

    inputs: tuple[Location, ...]
    output: Location | None
    folder: Location | None
    batch: Batch
    force: bool
    skip_existing: bool
    preserve: bool
    device: str
    threads: int | None
    ray: str | None = None  # an address; empty for the usual one
    manifest: Location | None = None
    column: str | None = None

    @property
    def about_objects(self) -> bool:
        """Whether it is: all else is for files on this machine."""
        places = (*self.inputs, self.output, self.folder, self.manifest)
        return self.ray is not None or any(isinstance(place, Url) for place in places)

    def paths(self) -> tuple[tuple[Path, ...], Path | None, Path | None]:
        """The inputs, the output and its folder, none of which is an object."""
        if self.manifest is not None or self.column is not None:
            raise click.UsageError("--manifest and --column are for object stores and clusters (s3://..., --ray)")
        inputs = tuple(place for place in self.inputs if isinstance(place, Path))
        output, folder = (place if isinstance(place, Path) else None for place in (self.output, self.folder))
        return inputs, output, folder

    def jobs(self) -> int:
        """How many processes of this machine."""
        places = (*self.inputs, self.output, self.folder)
        if any(isinstance(place, Url) and place.scheme == storage.MEMORY for place in places):
            return 1  # which no other process sees
        from ..engine.device import choose_threads

        cores = choose_threads(self.threads)
        return self.batch.jobs or min(cores, self._few() or cores)

    def codec(self, model: str | None, limit_pixels: int | None, engine: str) -> LoadedWhenUsed:
        """What each worker loads."""
        threads, jobs = (1, 1) if self.ray is not None else (self.threads, self.jobs())
        pictures = self._few() if jobs == 1 else None
        return LoadedWhenUsed(self.device, model, threads, limit_pixels, jobs, engine, pictures)

    def _few(self) -> int | None:
        """How many inputs there are, if none of them stands for several."""
        return None if any(_is_folder(place) for place in self.inputs) else len(self.inputs)


def _is_folder(place: Location) -> bool:
    return place.is_prefix if isinstance(place, Url) else place.is_dir()
