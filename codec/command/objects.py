"""`compress` and `decompress` on objects, in processes of this machine or on a Ray cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import click

from ..errors import AecError
from ..jobs import manifest, processes, storage
from ..jobs.coding import Coding
from ..jobs.listing import Listing, ObjectTask
from ..jobs.manifest import FOLDER, Line, Manifest
from ..jobs.objects import ObjectWork
from ..jobs.plan import WrongUse
from ..jobs.storage import Location
from ..jobs.totals import Totals
from .object_reporting import ObjectReporter
from .reporting import FAILED, INTERRUPTED, words
from .request import Request

NOTHING_BEGUN = 2  # exit code


def work_through(request: Request, coding: Coding, refused: Callable[[Location], str | None], ending: str,
                 weights: str | None, done: str, what: str) -> None:
    """Do it, and tell what becomes of it; ends the command with its exit code.

    Args:
        request: what is asked for.
        coding: what is done to a picture.
        refused: tells why what is found below a folder or prefix is not worked on.
        ending: of outputs' names.
        weights: the bundle hash of the model, where the inputs do not name one.
        done: what is done, in the summary: `compressed`.
        what: the objects that are looked for: `pictures`.
    """
    batch = request.batch
    if batch.keep_going is False:
        raise click.UsageError("--stop is for files on this machine: a job on objects does all it can")
    if request.ray is not None and request.threads is not None:
        raise click.UsageError("--threads is for this machine: the workers of a cluster have one thread each (--jobs)")
    listing = Listing(request.inputs, ending, refused, request.output, request.folder, batch.recursive)
    folder = request.manifest or (None if request.folder is None else request.folder / FOLDER)
    totals = Totals()
    reporter = ObjectReporter(totals, batch, done)
    begun = False

    def report(line: Line) -> None:
        nonlocal begun
        begun = True
        totals.add(line)
        record.add(line)
        reporter.report(line)

    try:
        listing.check()
        known = manifest.marks(folder) if folder is not None and not _keeps_marks(request) else {}
        work = ObjectWork(coding, ending, weights, request.force, request.force and not request.skip_existing,
                          request.preserve, request.column, known)
        with Manifest(folder) as record, reporter:
            _count(listing, totals)
            _run(request, listing, work, report)
    except WrongUse as error:
        raise click.UsageError(f"{error} (-o, --output-dir)") from None
    except AecError as error:
        reporter.message(f"aecodec: {words(error)}")
        raise click.exceptions.Exit(FAILED if begun else NOTHING_BEGUN) from None
    except KeyboardInterrupt:
        reporter.summary(folder)
        reporter.message("aecodec: interrupted; the same command goes on where it was")
        raise click.exceptions.Exit(INTERRUPTED) from None
    reporter.summary(folder)
    if not totals.finished:
        reporter.message(f"aecodec: there are no {what} there")
        raise click.exceptions.Exit(NOTHING_BEGUN)
    if totals.counts[manifest.FAILED]:
        raise click.exceptions.Exit(FAILED)


def _keeps_marks(request: Request) -> bool:
    targets: Sequence[Location | None] = (request.output, request.folder)
    return all(storage.keeps_marks(place) for place in targets if place is not None)


def _run(request: Request, listing: Listing, work: ObjectWork, report: Callable[[Line], None]) -> None:
    if request.ray is None:
        processes.run(listing.all_tasks(), work, request.jobs(), report)
        return
    from ..jobs import cluster

    cluster.connect(request.ray or None)
    cluster.run(listing, work, request.batch.jobs, request.device, report)


def _count(listing: Listing, totals: Totals) -> None:
    """Find out how many objects there are, while the first of them are worked on."""
    def count() -> None:
        try:
            for item in listing.all_tasks():
                totals.found += isinstance(item, ObjectTask)
            totals.all_found = True
        except AecError:
            pass  # told by who works on them

    threading.Thread(target=count, daemon=True).start()
