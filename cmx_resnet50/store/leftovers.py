"""What killed processes left behind, as a later run finds it.

A partial file is continued by whoever obtains the same object. The other files that a kill leaves
are temporary ones, a partial file whose object was finished, and the name of a lock's holder. The
next run that obtains an object removes what is certainly abandoned; `prune` removes the rest after
a week.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from cmx_resnet50.store.files import remove, remove_folder
from cmx_resnet50.store.layout import Layout
from cmx_resnet50.store.locks import Locks
from cmx_resnet50.store.model import StoreError

PARTIAL = re.compile(r"partial[\w.-]*")
"""The files of an object that is being made."""


def clear_leftovers(layout: Layout, locks: Locks, key: str, sha256: str) -> None:
    """Remove what killed processes left of a valid object, and their temporary files.

    Parameters
    ----------
    layout, locks
        The store, and its locks: what a process is at work on stays.
    key : str
        The key that the object was obtained by.
    sha256 : str
        The object.
    """
    obtaining, publishing = f"obtain-{key}", f"object-{sha256}"
    left = {name: [layout.lock(name).with_suffix(".holder")] for name in (obtaining, publishing)}
    incoming = layout.partial(key).parent
    with suppress(OSError, StoreError):  # A store that can only be read stays as it is.
        for path in layout.left_temporary():
            remove(path)
        for name, paths in left.items():
            folders = [incoming] if name == obtaining else []
            if any(map(os.path.lexists, (*paths, *folders))):
                with locks.free(name) as held:
                    for path in paths if held else ():
                        remove(path)
                    for folder in folders if held else ():
                        remove_folder(folder, PARTIAL)
