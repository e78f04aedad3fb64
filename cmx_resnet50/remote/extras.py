"""The package that ``s3://`` URLs need, and the command that installs it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.redaction import hide_debug_lines


class MissingPackage(Resnet50Error):
    """A URL of the user's needs a package that is not installed; the text has the command."""


def require(url: str) -> None:
    """Check that the package that `url` needs is installed, without importing it.

    Raises
    ------
    MissingPackage
        If it is not.
    """
    if url[:5].lower() == "s3://" and importlib.util.find_spec("boto3") is None:
        raise _missing()


def load(name: str) -> Any:
    """Import the module `name`, which comes with boto3.

    Raises
    ------
    MissingPackage
        If it is not installed.
    """
    # At DEBUG, boto3 logs signatures and session tokens.
    hide_debug_lines("boto3", "botocore", "urllib3")
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing() from None


def _missing() -> MissingPackage:
    return MissingPackage(
        "s3:// needs a Python package that is not installed:\n  pip install boto3"
    )
