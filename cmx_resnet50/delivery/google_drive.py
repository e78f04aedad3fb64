"""Files that lie on Google Drive only: through the package gdown, verified before they are taken.

Drive answers a plain request for a large file with a page that asks whether one is sure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from cmx_resnet50.catalog.table import Artifact
from cmx_resnet50.errors import Resnet50Error, see

_LENT = Lock()
"""Held while requests as a whole has the system's certificates: one thread at a time."""


class DriveError(Resnet50Error):
    """A file on Google Drive that could not be had, and how to have it."""


def installed() -> bool:
    """Whether the package gdown is there, so that `download` can work."""
    return find_spec("gdown") is not None


def download(artifact: Artifact, target: Path, *, quiet: bool) -> None:
    """Fetch `artifact` from Google Drive to `target`; the caller compares digests.

    Raises
    ------
    DriveError
        If gdown is missing, or Drive does not give the file.
    """
    # What an earlier run left is no start: nothing says which bytes it holds.
    target.unlink(missing_ok=True)
    try:
        import gdown
        from gdown.exceptions import FileURLRetrievalError
    except ImportError:
        raise DriveError(
            f"{artifact.file} ({artifact.name}) is on Google Drive only. That takes the Python "
            "package gdown, which is not installed:\n  pip install gdown\n" + _by_hand(artifact)
        ) from None
    from requests import RequestException

    # Newer versions of gdown have a base for all that goes wrong, older ones only this.
    failure = getattr(gdown.exceptions, "DownloadError", FileURLRetrievalError)
    try:
        with _trust() as verify:
            gdown.download(artifact.url, str(target), quiet=quiet, verify=verify)
    except (failure, OSError) as error:
        # requests says with a plain OSError, without a number, that a bundle is not there.
        troubled = isinstance(error, OSError) and not isinstance(error, RequestException)
        if troubled and getattr(error, "errno", None) is not None:
            raise
        reason = " ".join(str(error).split())[:500]
        raise DriveError(
            f"{artifact.file} ({artifact.name}) is on Google Drive only, and gdown could not "
            f"fetch {artifact.url}: {reason}\n{_by_hand(artifact)}\n{see('networks')}"
        ) from error
    if not target.is_file():
        raise DriveError(
            f"{artifact.file}: gdown left no file from {artifact.url}.\n" + _by_hand(artifact)
        )


@contextmanager
def _trust() -> Iterator[str | bool]:
    """Let gdown trust whom `fetch` trusts: the bundle that is named, or the system.

    gdown makes its own session and takes no context, so requests as a whole is lent the
    system's certificates, and only for as long as this lasts.
    """
    import truststore

    from cmx_resnet50.fetch.http.trust import CA_VARIABLES

    named = [value for value in map(os.environ.get, CA_VARIABLES) if value]
    if named:
        yield named[0]
        return
    with _LENT:
        truststore.inject_into_ssl()
        try:
            yield True
        finally:
            truststore.extract_from_ssl()


def _by_hand(artifact: Artifact) -> str:
    return (
        f"Or open {artifact.url} in a browser, save {artifact.file}, and ask again with "
        f"--checkpoint={artifact.file}"
    )
