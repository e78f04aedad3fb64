"""The cached run: a receipt in the entry says what was delivered, and a glance that it still is.

A receipt answers only the very run that it was written for: same request, same options, same
store. Whatever differs goes the long way, through ``steps.ensure``. This module is imported on
every hit, so it imports nothing that the engine has not imported already.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from zlib import crc32

from cmx_resnet50.cached_run.stat_check import unchanged

RUN = "CM_RESNET50_RUN_"
"""What one run tells its own later steps; no part of a request."""
OPTION = "CM_RESNET50_"
MIRROR = OPTION + "MIRROR"
CACHED = "CM_ML_MODEL_CACHE_FILE_WITH_PATH"
USER = ("CM_PACKAGE_URL", "CM_DOWNLOAD_CHECKSUM")


def entry_of(env: Mapping[str, Any]) -> str:
    """Return the folder of the cache entry whose exported keys are in `env`."""
    return os.path.dirname(os.path.dirname(str(env.get(CACHED, ""))))  # noqa: PTH120


def record(
    env: Mapping[str, Any],
    const: Mapping[str, Any],
    files: Iterable[tuple[str, str, str]],
    *,
    located: Mapping[str, str],
    store: str,
    notes: Iterable[str],
    summary: str,
) -> None:
    """Write the receipt of a run that was just made sure of.

    Parameters
    ----------
    env, const
        CM's env and const.
    files
        The sha256, the place and the `Placement.stamp` of each delivered file.
    located : mapping
        The keys that say where they are: the engine may have kept those of a run that asked
        for a folder of its own.
    store : str
        The store's folder.
    notes : iterable of str
        What the user is told on each run.
    summary : str
        The line that says what is where.
    """
    content = {
        "request": _fingerprint(env, const),
        "files": list(files),
        "located": dict(located),
        "store": store,
        "notes": list(notes),
        "summary": summary,
    }
    path = _path(env)
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:  # A cache that can only be read has no receipts, and goes the long way.
        return


def answer(env: MutableMapping[str, Any], const: Mapping[str, Any]) -> tuple[list[str], str] | None:
    """Return notes and summary if the entry still holds what its receipt says, else None.

    Where the files are is put into `env`.
    """
    try:
        with open(_path(env), encoding="utf-8") as file:
            receipt = json.load(file)
        if receipt["request"] != _fingerprint(env, const):
            return None
        if not all(unchanged(receipt["store"], *file) for file in receipt["files"]):
            return None
        env.update(receipt["located"])
        return [str(note) for note in receipt["notes"]], str(receipt["summary"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(env: Mapping[str, Any]) -> str:
    return f"{entry_of(env)}/cmx-resnet50-receipt.json"


def _fingerprint(env: Mapping[str, Any], const: Mapping[str, Any]) -> dict[str, str]:
    # A mirror decides nothing about a file that is there, and may hold a password.
    options = [key for key in sorted(os.environ) if key.startswith(OPTION) and key != MIRROR]
    found = {key: _veiled(os.environ[key]) for key in options}
    found["CM_REPOS"] = os.environ.get("CM_REPOS", "")
    for key in sorted(env):
        if key.startswith(OPTION) and not key.startswith(RUN) and key != MIRROR:
            found[f"env.{key}"] = _veiled(env[key])
    for key in USER:
        found[f"const.{key}"] = _veiled(const.get(RUN + key) or const.get(key) or "")
    return found


def _veiled(value: object) -> str:
    """Return `value`, or a sum of it where it is a URL, which may hold a password."""
    text = str(value)
    return f"crc32 {crc32(text.encode()):08x}" if "://" in text else text
