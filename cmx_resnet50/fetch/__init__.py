"""URLs in, verified bytes out: several sources, resumed, over as many connections as help.

`fetch` is the only entrance. What it needs (requests above all) is imported when it is
called, because a run that finds everything in place must not pay for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from cmx_resnet50.digests import Expected
    from cmx_resnet50.fetch.errors import FetchError, OfflineError, SpaceError
    from cmx_resnet50.fetch.model import Attempt, Download, FetchOptions, Source
    from cmx_resnet50.progress import Progress

__all__ = [
    "Attempt",
    "Download",
    "FetchError",
    "FetchOptions",
    "OfflineError",
    "Source",
    "SpaceError",
    "fetch",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    module = "errors" if name.endswith("Error") else "model"
    return getattr(import_module(f"{__name__}.{module}"), name)


def fetch(
    sources: Sequence[Source],
    expected: Expected,
    partial: Path,
    *,
    name: str,
    options: FetchOptions,
    progress: Progress,
    place_hint: str = "",
) -> Download:
    """Fetch a file from the first of `sources` that has the right bytes.

    The file is assembled at `partial`, with a journal next to it (``.journal`` appended to
    its name) from which an interrupted fetch continues, also from another source. When it is
    verified, it is left at `partial` and the journal is removed. The caller makes sure that
    nobody else writes there, and moves the file to its place; it is not synced to the disk.

    Parameters
    ----------
    sources : sequence of Source
        Asked in this order; each once.
    expected : Expected
        What is known about the file. With no digest known, the file is taken as one source
        gives it, and only its length is checked.
    partial : Path
        Where to write; the folder exists.
    name : str
        File name, for messages and the ``curl`` line.
    options : FetchOptions
    progress : Progress
    place_hint : str
        Where a file fetched manually belongs; ends the error.

    Returns
    -------
    Download

    Raises
    ------
    FetchError
        If no source gave the right bytes; `attempts` and the text describe each.
    OfflineError
        If the network would be needed and `options.offline` forbids it.
    SpaceError
        If the disk has no room.
    KeyboardInterrupt
        Is passed on; file and journal stay, to be continued.
    """
    from cmx_resnet50.fetch.download import Run

    return Run(
        sources,
        expected,
        partial,
        name=name,
        options=options,
        progress=progress,
        place_hint=place_hint,
    )()
