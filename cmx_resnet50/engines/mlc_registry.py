"""Tells MLC of our scripts: in its list of repositories, last, and due to be indexed again.

MLC knows a repository only from ``repos.json`` in its home. Of two scripts with one uid its index
keeps the one that it indexed last, and it indexes only what changed. So our folder goes to the end
of the list, and out of the table of what was indexed when: at its next start MLC indexes it after
all others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cmx_resnet50.errors import Resnet50Error

REPOSITORY = Path(__file__).parent.parent / "mlc_repo"
"""What MLC loads: a repository of two scripts."""
SCRIPT = "get-ml-model-resnet50"
LOCK_TIMEOUT = 60.0
"""Seconds to wait for a process of MLC that writes one of its files; as it waits itself."""

_WHO = """
import json, sys, mlc
found = mlc.access({"action": "find", "target": "script", "tags": sys.argv[1]})
first = sorted(found.get("list", []), key=lambda item: (item.meta.get("sort", 0), item.path))
json.dump([item.path for item in first], open(sys.argv[2], "w"))
"""


_UNEXPECTED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What a file raises that holds something else than MLC writes."""


class RegistryError(Resnet50Error):
    """MLC's list of repositories cannot be read or written."""


def installed() -> bool:
    """Whether MLC is there, for this Python."""
    return find_spec("mlc") is not None


def home(process: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of MLC's repositories, as MLC finds it."""
    named = process.get("MLC_REPOS", "").strip()
    return Path(named) if named else Path("~/MLC/repos").expanduser()


def add(repos: Path) -> bool:
    """Register our repository in the home `repos`, last, and have it indexed again.

    Returns
    -------
    bool
        Whether the list of repositories changed.

    Raises
    ------
    RegistryError
        If MLC is not installed, or its files cannot be read or written.
    """
    if not installed():
        raise _not_installed()
    ours = str(REPOSITORY)

    def last(paths: list[str]) -> list[str]:
        return [*(path for path in paths if path != ours and not _is_ours(path)), ours]

    (repos / "local").mkdir(parents=True, exist_ok=True)
    changed = _edit(repos / "repos.json", [str((repos / "local").resolve())], last)
    _index_again(repos, lambda path: path.startswith(ours + os.sep))
    return changed


def remove(repos: Path) -> bool:
    """Take our repository out of the home `repos`; what has our script's place is indexed again.

    Returns
    -------
    bool
        Whether it was there.

    Raises
    ------
    RegistryError
        If MLC's files cannot be read or written.
    """
    if not (repos / "repos.json").is_file():
        return False

    def without(paths: list[str]) -> list[str]:
        return [path for path in paths if path != str(REPOSITORY) and not _is_ours(path)]

    changed = _edit(repos / "repos.json", [], without)
    ours = str(REPOSITORY) + os.sep
    _index_again(repos, lambda path: Path(path).parent.name == SCRIPT or path.startswith(ours))
    index = repos / "index_script.json"
    if index.is_file():  # What MLC does not look for, stays in it.
        _edit(index, [], lambda found: [one for one in found if not one["path"].startswith(ours)])
    return changed


def is_registered(repos: Path) -> bool:
    """Whether our repository is in the list of the home `repos`.

    Raises
    ------
    RegistryError
        If the list cannot be read.
    """
    file = repos / "repos.json"
    try:
        return str(REPOSITORY) in json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RegistryError(f"{file} cannot be read: {error}") from error


def who_answers(repos: Path, tags: str) -> list[Path]:
    """Ask MLC itself which scripts answer `tags`: their folders, the one that runs first.

    Raises
    ------
    RegistryError
        If MLC is not installed, or fails.
    """
    # MLC leaves a log in the working folder, and reads its home when it is imported.
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        done = subprocess.run(  # noqa: S603 - this interpreter, and no shell
            [sys.executable, "-c", _WHO, tags, str(answer)],
            cwd=folder,
            env={**os.environ, "MLC_REPOS": str(repos)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if not answer.is_file():
            lines = done.stderr.strip().splitlines() or ["it printed nothing"]
            if "No module named 'mlc'" in lines[-1]:
                raise _not_installed()
            raise RegistryError(f"MLC failed to look for {tags}: {lines[-1]}")
        return [Path(path) for path in json.loads(answer.read_text(encoding="utf-8"))]


def _not_installed() -> RegistryError:
    return RegistryError(
        f"MLC is not installed for this Python:\n  {sys.executable} -m pip install mlcflow"
    )


def _is_ours(path: str) -> bool:
    """Whether `path` is a repository of ours in another installation."""
    with suppress(OSError):
        there = (Path(path) / "meta.yaml").read_text(encoding="utf-8", errors="replace")
        return there == (REPOSITORY / "meta.yaml").read_text(encoding="utf-8")
    return False


def _index_again(repos: Path, due: Callable[[str], bool]) -> None:
    """Have MLC index the metas whose paths are `due` at its next start."""
    file = repos / "modified_times.json"
    if file.is_file():
        _edit(file, {}, lambda times: {path: times[path] for path in times if not due(path)})


def _edit(file: Path, empty: Any, change: Callable[[Any], Any]) -> bool:
    """Replace the content of a JSON file of MLC's by what `change` makes of it.

    MLC's own lock is held, and the file is replaced in one step.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(f"{file}.lock", timeout=LOCK_TIMEOUT):
            old = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
            if old is not None and type(old) is not type(empty):
                raise ValueError(f"expected a {type(empty).__name__}")
            new = change(empty if old is None else old)
            if new == old:
                return False
            temporary = file.with_name(f"{file.name}.{os.getpid()}")
            temporary.write_text(json.dumps(new, indent=2), encoding="utf-8")
            temporary.replace(file)
            return True
    except (OSError, Timeout, *_UNEXPECTED) as error:
        raise RegistryError(f"{file} cannot be changed: {error}") from error
