"""Files into the store, for later: what each of several requests means.

A request that fails does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cmx_resnet50.catalog.request import names_in
from cmx_resnet50.delivery.delivered import Delivery
from cmx_resnet50.delivery.pipeline import Pipeline
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.progress import progress_for


@dataclass(frozen=True)
class Prefetched:
    """What became of one request of `prefetch`: either `delivery` or `error` is None."""

    request: str
    delivery: Delivery | None
    error: Resnet50Error | None
    archive_error: Resnet50Error | None = None
    """Why the archive that the file comes in, which mirrors need, is not in the store."""


def prefetch(
    through: Pipeline, requests: Sequence[str], warn: Callable[[str], None], jobs: int = 1
) -> Iterator[Prefetched]:
    """Bring what each request means into the store; one that fails does not stop the others.

    Parameters
    ----------
    through : Pipeline
        What brings them.
    requests : sequence of str
        As `get` takes them.
    warn : callable
        Takes each deviation and notice, as soon as it is known.
    jobs : int
        Requests in work at the same time; results come in the order of the requests.
    """
    if jobs == 1:
        for text in requests:
            yield _prefetch(through, text, warn)
        return
    from functools import partial
    from threading import Event

    from cmx_resnet50.delivery.jobs import StoppableProgress, run_jobs

    stopped = Event()
    pipelines = [
        through.alike(StoppableProgress(progress_for(through.visible), stopped), stopped.is_set)
        for _ in range(min(jobs, len(requests)))
    ]
    workers = [partial(_prefetch, one, warn=warn) for one in pipelines]
    yield from run_jobs(workers, requests, stopped)


def _prefetch(through: Pipeline, text: str, warn: Callable[[str], None]) -> Prefetched:
    catalog, strict = through.catalog, through.options.strict
    try:
        resolution = catalog.resolve(catalog.request(names_in(text)), strict=strict)
        for line in resolution.messages:
            warn(line)
        delivery = through.obtain(resolution)
    except Resnet50Error as error:
        return Prefetched(text, None, error)
    try:
        # A store that an earlier version filled has the unpacked file only.
        through.obtain_archive(resolution)
    except Resnet50Error as error:
        return Prefetched(text, delivery, None, error)
    return Prefetched(text, delivery, None)
