"""Whether a key that is not a digest of its object is right, found out by this machine itself.

Such a key says what a file was made from: the archive that it was in, or the file whose batch was
fixed. A bundle may claim any. So what it was made from must be in the store, and is made into
the file once more, here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cmx_resnet50.delivery.delivered import derived_key
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.store import Store, StoredObject

if TYPE_CHECKING:
    from cmx_resnet50.digests import Digests

_ARCHIVE = re.compile(r"archive-((?:md5|sha256)-[0-9a-f]+)")
_DERIVED = re.compile(r"derived-([0-9a-f]{64})-batch-([1-9][0-9]{0,5})-r[0-9]+")


def unconfirmed(store: Store, stored: StoredObject, key: str) -> str | None:
    """Return why `key` is not known to be right for the object `stored`; None where it is.

    Parameters
    ----------
    store : Store
        Holds the object, and what it was made from.
    key : str
        Any key that is not a digest.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    archive, derived = _ARCHIVE.fullmatch(key), _DERIVED.fullmatch(key)
    if archive is not None:
        packed = _find(store, archive[1])
        if packed is None:
            return "the archive that it comes in is missing"
        return _compared(store, stored, lambda path: _unpacked(packed, path, stored.size))
    if derived is not None:
        original, batch = _find(store, f"sha256-{derived[1]}"), int(derived[2])
        if original is None:
            return "the file that it was made from is missing"
        if derived_key(original, batch) != key:
            return "another release made it"
        return _compared(store, stored, lambda path: _reshaped(original, path, batch))
    return "no digest of it is known"


def _find(store: Store, key: str) -> StoredObject | None:
    found = store.find(key)
    return found if found is not None and store.check(found) else None


def _compared(store: Store, stored: StoredObject, make: Callable[[Path], Digests]) -> str | None:
    path = store.layout.temporary()
    try:
        made = make(path)
    except Resnet50Error as error:
        return f"it cannot be made again here: {error}"
    finally:
        path.unlink(missing_ok=True)
    return None if made.sha256 == stored.sha256 else "it has other bytes when made again here"


def _unpacked(packed: StoredObject, path: Path, limit: int) -> Digests:
    from cmx_resnet50.gunzip import gunzip

    return gunzip(packed.path, path, limit=limit, name=packed.name)


def _reshaped(original: StoredObject, path: Path, batch: int) -> Digests:
    from cmx_resnet50.digests import digest_file
    from cmx_resnet50.rewrite import reshape

    reshape(original.path, path, batch=batch)
    return digest_file(path)
