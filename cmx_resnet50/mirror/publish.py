"""Fills a site's mirror: an object store, a folder, or another file system that fsspec knows.

A mirror holds

- ``sha256/<hex>`` and ``md5/<hex>``: the bytes of each object, under the names by which
  ``CM_RESNET50_MIRROR`` is asked;
- ``entries/<sha256>-<mark>.json``: what the manifest says of one object, see ``manifest``;
- ``manifest.json``: all entries together, as ``bundle export`` writes it.

Every name but the last says what is under it, and nothing appears before it is whole. So any
number of publishers may fill one mirror at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmx_resnet50.mirror import manifest
from cmx_resnet50.mirror.target import Named, Target
from cmx_resnet50.progress import Progress

__all__ = ["Item", "Target", "opened", "publish"]


@dataclass(frozen=True)
class Item:
    """A file to publish: where it lies, what it is called, and its entry of the manifest."""

    path: Path
    name: str
    entry: Mapping[str, Any]


def opened(url: str, *, connect_timeout: float, read_timeout: float) -> Target:
    """Return the mirror that `url` names: ``s3://``, ``file://``, a path, or fsspec's.

    Raises
    ------
    MissingPackage
        If a package is needed that is not installed.
    PublishError
        If `url` means nothing.
    """
    from cmx_resnet50.remote.extras import require, scheme_of

    scheme = scheme_of(url)
    require(url)
    if scheme == "s3":
        from cmx_resnet50.mirror.to_s3 import S3Target
        from cmx_resnet50.remote.s3_client import S3

        return S3Target(url, S3(connect_timeout=connect_timeout, read_timeout=read_timeout))
    if scheme in ("", "file"):
        from cmx_resnet50.mirror.folder import FolderTarget

        return FolderTarget(url)
    from cmx_resnet50.mirror.filesystem import FilesystemTarget

    return FilesystemTarget(url, read_timeout)


def publish(
    items: Sequence[Item], target: Target, head: Mapping[str, Any], progress: Progress
) -> Iterator[tuple[Item, bool]]:
    """Send what `target` lacks; the manifest comes last.

    Parameters
    ----------
    items : sequence of Item
        What the mirror shall hold; the files are whole.
    target : Target
    head : mapping
        What the manifest says beside its objects.
    progress : Progress
        Shows the transfers.

    Yields
    ------
    Item, bool
        Each item when it is there, and whether it had to be sent.

    Raises
    ------
    PublishError
        If the target refuses, or holds a manifest that is none.
    """
    for item in items:
        sha256, md5, size = (item.entry[key] for key in ("sha256", "md5", "bytes"))
        first = Named(f"sha256/{sha256}", size, sha256)
        second = Named(f"md5/{md5}", size, sha256)
        missing = not target.holds(first)
        if missing:
            progress.start(item.name, size, target.printable, 0)
            try:
                target.send(item.path, first, progress.advance)
            finally:
                progress.done()
        if missing or not target.holds(second):
            target.duplicate(first, second, item.path)
        yield item, missing
    manifest.update(target, [item.entry for item in items], head)
