"""Which package a URL needs, and the command that brings it where it is missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from cmx_resnet50.errors import Resnet50Error

WEB = frozenset({"http", "https", "file"})
"""Schemes that need no further package."""

_DRIVERS = {
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "hdfs": "pyarrow",
    "memory": "",
}
"""What fsspec needs beside itself for a scheme. Others work as well, where it knows them."""


class MissingPackage(Resnet50Error):
    """A URL of the user's needs a package that is not installed; the text has the command."""


def scheme_of(url: str) -> str:
    """Return the scheme of `url` in small letters, or nothing.

    A chain of file systems, as fsspec writes them with ``::``, is none that is known here.
    """
    scheme, colon, _ = url.partition("://")
    sound = scheme.isascii() and scheme.replace("+", "").replace("-", "").isalnum()
    return scheme.lower() if colon and sound else ""


def load(name: str, scheme: str) -> Any:
    """Import the package `name`, which URLs of `scheme` need.

    Raises
    ------
    MissingPackage
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing(scheme) from None


def require(url: str) -> None:
    """See to it that what `url` needs is installed; an unknown scheme needs nothing.

    Raises
    ------
    MissingPackage
        If it is not.
    """
    scheme = scheme_of(url)
    if scheme in WEB or not scheme:
        return
    if scheme == "s3":
        if importlib.util.find_spec("boto3") is None:
            raise _missing(scheme)
    elif importlib.util.find_spec("fsspec") is None:
        if scheme in _DRIVERS:
            raise _missing(scheme)
    elif knows(scheme):
        try:
            importlib.import_module("fsspec").get_filesystem_class(scheme)
        except ImportError as error:
            raise _missing(scheme, "" if scheme in _DRIVERS else str(error)) from None


def knows(scheme: str) -> bool:
    """Whether files of `scheme` can be had through fsspec, as far as is installed."""
    if scheme in WEB or scheme == "s3" or importlib.util.find_spec("fsspec") is None:
        return False
    registry = importlib.import_module("fsspec.registry")
    return scheme in registry.known_implementations or scheme in registry.registry


def _missing(scheme: str, told: str = "") -> MissingPackage:
    names = ["boto3"] if scheme == "s3" else ["fsspec", _DRIVERS.get(scheme, "")]
    return MissingPackage(
        f"{scheme}:// takes a Python package that is not installed:\n"
        f"  pip install {' '.join(filter(None, names))}" + (f"\n{told}" if told else "")
    )
