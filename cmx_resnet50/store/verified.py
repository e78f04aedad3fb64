"""Which sha256 the first verified download of an md5 had: what comes later must have it, too.

Publishers give an md5, and two files with one md5 can be made. The first file that a user fetched
and verified is recorded here by its sha256. From then on that is expected of every file of that
md5: from a source, a mirror, a bundle, another store or the user. The record outlives the object.
Only this user's own word counts: a record that another user wrote is as good as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from cmx_resnet50.errors import DigestError
from cmx_resnet50.store.files import read_small
from cmx_resnet50.store.layout import Layout, is_sha256
from cmx_resnet50.store.model import StoreError


class VerifiedDigests:
    """The records of one store.

    Parameters
    ----------
    layout : Layout
        Of that store.
    """

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.root / "verified"
        self._layout = layout

    def sha256_of(self, md5: str) -> str | None:
        """Return the sha256 that a file of this md5 must have, if one was recorded."""
        text = (read_small(self._folder / f"md5-{md5}", mine=True) or "").strip()
        return text if is_sha256(text) else None

    def record(self, md5: str, sha256: str) -> None:
        """Remember what was fetched and verified, unless something else was before."""
        # The file itself is in the store: a record that cannot be written is no reason to fail.
        with suppress(OSError, StoreError):
            if self.sha256_of(md5) is None:
                self._layout.write(self._folder / f"md5-{md5}", sha256 + "\n")

    def added_to(self, keys: Iterable[str]) -> list[str]:
        """Return `keys`, and the sha256 that was recorded for an md5 among them."""
        known = list(keys)
        found = (self.sha256_of(key[4:]) for key in known if key.startswith("md5-"))
        return known + [f"sha256-{sha256}" for sha256 in found if sha256]

    @contextmanager
    def explained(self, md5: str | None) -> Iterator[None]:
        """Explain the error of a file that has this md5 and not the sha256 recorded for it."""
        try:
            yield
        except DigestError as error:
            from cmx_resnet50.digests import COLLISION

            if md5 is not None and COLLISION in str(error) and self.sha256_of(md5):
                error.args = (f"{error.args[0]}\n{self._explanation(md5)}",)
            raise

    def _explanation(self, md5: str) -> str:
        return (
            f"The expected sha256 is that of the file with the md5 {md5} which was fetched and "
            "verified here first. Two files with one md5 exist only where somebody made them: "
            "do not use this one, and report where it came from. If you have reason to doubt the "
            f"first one, delete {self._folder / f'md5-{md5}'} and fetch again."
        )
