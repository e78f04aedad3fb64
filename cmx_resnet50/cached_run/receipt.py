"""The cached run: a receipt in the entry says what was delivered, and a look that it still is.

A receipt answers only the very run that it was written for: same request, same options, same
store. Whatever differs takes the slow path. This module is imported on every hit, so it imports
nothing that the engine has not imported already.

Each function takes an engine's own env and the prefix of that engine's keys; a receipt holds
names without it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO
from zlib import crc32

from cmx_resnet50.cached_run import run_lock
from cmx_resnet50.cached_run.stat_check import unchanged

OPTION = "RESNET50_"
RUN = OPTION + "RUN_"
"""What one run tells its own later steps; not part of a request."""
SILENT = RUN + "SILENT"
"""What the user gave for ``--silent`` or ``-s``; ``input_mapping`` puts it into env."""
_MODEL = "ML_MODEL_"
CACHED = _MODEL + "CACHE_FILE_WITH_PATH"
"""The key that says where the entry's own copy of the model is."""
_SOMETIMES = {f"{_MODEL}STARTING_FILE_PATH", f"{_MODEL}PARAM_FILE_WITH_PATH"}
"""Keys of further files that some models have."""
USER = ("PACKAGE_URL", "DOWNLOAD_CHECKSUM")
"""Keys of the user's own in const."""
LIMIT = 64 * 1024
"""Bytes; a receipt of ours has one or two KB."""
_MIRROR = OPTION + "MIRROR"
_JSON = frozenset({"-j", "--j", "-json", "--json", "-out=json", "--out=json"})
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Follows no link, and does not wait for the other end of a pipe."""


def answer_hook(i: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """Answer the engine's call of the script that ensures hits, if a receipt does; else None.

    Parameters
    ----------
    i : mapping
        What the engine hands a hook.
    prefix : str
        The prefix of the engine's keys.
    """
    env = i["env"]
    # The engine has gone into the output folder, which is to hold the model and nothing else.
    os.chdir(env[f"{prefix}TMP_CURRENT_PATH"])
    if f"{prefix}{RUN}ENTRY" in env:  # The end of a cold run, not a hit.
        return None
    run_lock.end_lookup()
    if env.get(f"{prefix}OUTDIRNAME") or env.get(f"{prefix}{OPTION}TO"):
        return None
    silent: bool | None = False
    if env.get(prefix + SILENT):
        from cmx_resnet50.yes_no import yes_no

        silent = yes_no(env[prefix + SILENT])
    found = answer(env, i["run_script_input"].get("const", {}), prefix)
    if found is None or silent is None:
        return None
    notices, line = found
    for notice in notices:
        sys.stderr.write(f"{prefix[:-1]} ResNet-50: {notice}\n")
    if not silent:
        stream = result_stream(i)
        stream.write(f"{line}\n")
        stream.flush()
    # Skipped, the engine writes no scripts and no state beside it: a hit changes nothing.
    return {"return": 0, "skip": True}


def result_stream(i: Mapping[str, Any]) -> TextIO:
    """Return where the line of a run goes: to stderr where stdout is asked to be JSON.

    Parameters
    ----------
    i : mapping
        What the engine hands a hook. On a hit it does not hold the input of the user's command.
    """
    engine = getattr(i.get("automation"), "cmind", None)
    json_asked = getattr(engine, "output", None) == "json" or not _JSON.isdisjoint(sys.argv)
    return sys.stderr if json_asked else sys.stdout


def entry_of(env: Mapping[str, Any], prefix: str) -> str:
    """Return the folder of the cache entry whose exported keys are in `env`."""
    return os.path.dirname(os.path.dirname(str(env.get(prefix + CACHED, ""))))  # noqa: PTH120


def record(
    env: Mapping[str, Any],
    const: Mapping[str, Any],
    prefix: str,
    files: Iterable[tuple[str, str, str]],
    *,
    located: Mapping[str, str],
    store: str,
    notices: Iterable[str],
    summary: str,
) -> None:
    """Write the receipt of a run that was just made sure of.

    Parameters
    ----------
    env, const
        The engine's env and const.
    prefix : str
        The prefix of the engine's keys.
    files
        The sha256, the path and the `Placement.stamp` of each delivered file, the model first.
    located : mapping
        The keys that say where they are, without `prefix`: the engine may have kept those of
        a run that asked for a folder of its own.
    store : str
        The store's folder.
    notices : iterable of str
        What the user is told on each run.
    summary : str
        The line that says what is where.
    """
    content = {
        "request": _fingerprint(env, const, prefix),
        "files": list(files),
        "located": dict(located),
        "store": store,
        "notices": list(notices),
        "summary": summary,
    }
    path = _path(env, prefix)
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:  # A cache that can only be read has no receipts, and takes the slow path.
        return


def answer(
    env: MutableMapping[str, Any], const: Mapping[str, Any], prefix: str
) -> tuple[list[str], str] | None:
    """Return notices and summary if the entry still holds what its receipt says, else None.

    Where the files are is put into `env`. A receipt that is not exactly what `record` writes is
    no answer: the run takes the slow path, and writes it anew.
    """
    try:
        receipt = json.loads(_read(_path(env, prefix)))
        files, located, notices = receipt["files"], receipt["located"], receipt["notices"]
        store, summary = receipt["store"], receipt["summary"]
        if receipt["request"] != _fingerprint(env, const, prefix):
            return None
        if not _ours(files, located, [store, summary, *notices], env, prefix):
            return None
        if not all(unchanged(store, *file) for file in files):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    for name, value in located.items():
        env[prefix + name] = value
    return notices, summary


def _ours(files: Any, located: Any, texts: list[Any], env: Mapping[str, Any], prefix: str) -> bool:
    """Whether a receipt names the model and nothing outside the entry, in the form of `record`."""
    rows = [text for file in files for text in file]
    if not all(isinstance(text, str) for text in (*rows, *located.values(), *texts)):
        return False
    # The texts are printed: one may not act on a terminal.
    if not all(text.replace("\n", "").isprintable() for text in texts):
        return False
    entry, paths = entry_of(env, prefix), [path for _, path, _ in files]
    inside = all(path == os.path.normpath(path) and path.startswith(f"{entry}/") for path in paths)
    if not (paths and entry and inside and paths[0] == env[prefix + CACHED]):
        return False
    folder, name = os.path.split(paths[0])
    model = {"FILE_WITH_PATH": paths[0], "PATH": folder, "FILE": name}
    where = {_MODEL + key: value for key, value in model.items()}
    others = located.keys() - where.keys()
    return (
        files[0][0] == env[f"{prefix}{_MODEL}SHA256"]
        and where.items() <= located.items()
        and others <= _SOMETIMES
        and all(located[key] in paths for key in others)
    )


def _read(path: str) -> bytes:
    """Return the content of a regular file of this user's, of at most `LIMIT` bytes.

    Raises
    ------
    OSError, ValueError
        If it is anything else: a link, a pipe, a folder, or larger. What another user compared,
        this one has not.
    """
    file = os.open(path, _READ)
    try:
        status = os.fstat(file)
        own = sys.platform == "win32" or status.st_uid == os.geteuid()
        if not own or not stat.S_ISREG(status.st_mode) or status.st_size > LIMIT:
            raise ValueError(path)
        return os.read(file, LIMIT)
    finally:
        os.close(file)


def _path(env: Mapping[str, Any], prefix: str) -> str:
    return f"{entry_of(env, prefix)}/cmx-resnet50-receipt.json"


def _fingerprint(env: Mapping[str, Any], const: Mapping[str, Any], prefix: str) -> dict[str, str]:
    # A mirror decides nothing about a file that is there, and may hold a password.
    beginnings = ("CM_RESNET50_", prefix + OPTION)
    options = [key for key in sorted(os.environ) if key.startswith(beginnings)]
    found = {key: _veiled(os.environ[key]) for key in options if not key.endswith(_MIRROR)}
    found["home"] = os.environ.get(f"{prefix}REPOS", "")
    run = prefix + RUN
    for key in sorted(env):
        if key.startswith(beginnings) and not key.startswith(run) and not key.endswith(_MIRROR):
            found[f"env.{key}"] = _veiled(env[key])
    for name in USER:
        found[f"const.{name}"] = _veiled(const.get(prefix + name) or "")
    return found


def _veiled(value: object) -> str:
    """Return `value`, or a sum of it where it is a URL, which may hold a password."""
    text = str(value)
    return f"crc32 {crc32(text.encode()):08x}" if "://" in text else text
