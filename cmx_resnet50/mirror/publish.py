"""Fills a site's mirror in an S3-compatible store.

A mirror holds

- ``sha256/<hex>`` and ``md5/<hex>``: the bytes of each object, under the names by which
  machines look for them in ``CM_RESNET50_MIRROR``;
- ``manifest.json`` and ``entries/``: see ``manifest``.

No object appears before it is complete, so any number of publishers may fill one mirror at the
same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cmx_resnet50.mirror import manifest

if TYPE_CHECKING:
    from cmx_resnet50.mirror.to_s3 import S3Target
    from cmx_resnet50.progress import Progress
    from cmx_resnet50.store import Store, StoredObject


def publish(
    store: Store, objects: Sequence[StoredObject], target: S3Target, progress: Progress
) -> Iterator[tuple[StoredObject, bool]]:
    """Send what `target` lacks; the manifest comes last.

    Parameters
    ----------
    store : Store
        The store that has the objects.
    objects : sequence of StoredObject
        What the mirror is to hold, each once.
    target : S3Target
    progress : Progress
        Where to show the bytes.

    Yields
    ------
    StoredObject, bool
        Each object when it is there, and whether it had to be sent.

    Raises
    ------
    MirrorError, StoreError
        If an object is damaged, the target refuses, or its manifest is not one.
    """
    valid = [store.require(stored) for stored in objects]
    manifest.check(target)
    for stored in valid:
        first, second = f"sha256/{stored.sha256}", f"md5/{stored.md5}"
        missing = not target.holds(first, stored)
        if missing:
            progress.start(stored.name, stored.size, f"the store to {target.printable}", 0)
            try:
                target.send(stored, first, progress.advance)
            finally:
                progress.done()
        if missing or not target.holds(second, stored):
            target.duplicate(first, second, stored)
        yield stored, missing
    manifest.update(target, manifest.entries_of(store, valid))
