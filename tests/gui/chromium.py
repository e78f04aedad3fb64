"""Debian's Chromium: the one on this machine, or, as root, a new one from apt-get."""

from __future__ import annotations

import os
import shutil
import subprocess


class Unavailable(Exception):
    """No Chromium can be had here; the text says why, in one line."""


def program() -> str:
    """Return the path of Chromium, installed first where it is missing.

    Raises
    ------
    Unavailable
        If it is missing, and this is not root or Debian's package cannot be installed.
    """
    if found := shutil.which("chromium"):
        return found
    if os.geteuid() != 0:
        raise Unavailable(f"chromium is missing, and this is not root (uid {os.geteuid()})")
    if shutil.which("apt-get") is None:
        raise Unavailable("chromium is missing, and no apt-get to install it")
    _apt_get("update", "-qq")
    _apt_get("install", "-qq", "--yes", "--no-install-recommends", "chromium")
    if found := shutil.which("chromium"):
        return found
    raise Unavailable("apt-get brought no chromium")


def _apt_get(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        # Not its output: a mirror's address may hold a password.
        raise Unavailable(f"chromium is missing, and apt-get {arguments[0]} failed")
