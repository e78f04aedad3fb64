"""What an error says, offline, of a file that a store lacks which can only be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmx_resnet50.catalog.table import Resolution
from cmx_resnet50.errors import see
from cmx_resnet50.store.model import StoreReadOnly


@contextmanager
def explain_missing(resolution: Resolution, store: Path, *, offline: bool) -> Iterator[None]:
    """Offline, name the file that the `store` lacks, and who can add it.

    Raises
    ------
    OfflineError
        In place of `StoreReadOnly`, which says only that the store cannot be written.
    """
    try:
        yield
    except StoreReadOnly as error:
        if not offline:
            raise
        from cmx_resnet50.fetch import OfflineError

        file, request = resolution.artifact.file, resolution.request.variations
        raise OfflineError(
            f"{file} ({request}) is missing or damaged in the store {store}, which this user can "
            "only read, and offline mode is on. Whoever can write the store adds the file, on a "
            f"machine with the network: cmx-resnet50 prefetch {request}. {see('clusters')}"
        ) from error
