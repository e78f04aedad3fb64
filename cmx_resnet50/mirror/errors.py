"""The error of bundles and mirrors."""

from __future__ import annotations

from pathlib import Path

from cmx_resnet50.errors import NotWritableError, Resnet50Error


class MirrorError(Resnet50Error):
    """A bundle or a mirror cannot be read or written; the text names it, and why."""


class BundleNotWritable(MirrorError, NotWritableError):
    """A bundle that cannot be written where the user wants it."""


class MirrorUnreachable(MirrorError):
    """The server of a mirror does not answer, or refuses; the text has its words."""


def rejected(bundle: Path, why: str) -> MirrorError:
    """Return the error for a bundle that is not what `bundle export` writes."""
    return MirrorError(f"{bundle} rejected: {why}. Export it again, or copy it again.")
