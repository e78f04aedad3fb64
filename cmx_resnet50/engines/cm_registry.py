"""Which script CM runs: its repositories in order, what answers, and how ours is put first.

CM reads ``repos.json`` in its home and then inserts each package that it finds in ``sys.path`` at
the front, unless its path is listed there. Of two scripts with one uid its index keeps the first.
So where cmx4mlops is in a later entry of ``sys.path`` than ours, its script answers, until both are
listed in ``repos.json``, ours first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmx_resnet50.errors import Resnet50Error

PACKAGE = Path(__file__).parent.parent
"""What CM finds: the package, which is a repository of CM."""
SCRIPT = "get-ml-model-resnet50"
TIMEOUT = 120.0
"""Seconds for a process of CM; it writes an index where there is none."""

_WHO = """
import json, os, pkgutil, sys
import cmind
tags, uid, every_tag, file = sys.argv[1:]
def find(**what):
    answer = cmind.access({"action": "find", "automation": "script", **what})
    if answer["return"]:
        sys.exit(answer["error"])
    found = sorted(answer["list"], key=lambda item: (item.meta.get("sort", 0), item.path))
    return [item.path for item in found]
def holds(repo):
    return os.path.isfile(os.path.join(repo, "cmr.yaml"))
answer = {
    "by_tags": find(tags=tags),
    "by_uid": find(artifact=uid),
    "by_every_tag": find(tags=every_tag),
    "repositories": [repo.path_with_prefix for repo in cmind.core.cm.repos.lst],
    "packages": [
        path
        for module in pkgutil.iter_modules()
        if module.name.startswith("cm") and module.name != "cmind"
        for path in [os.path.join(module.module_finder.path, module.name)]
        for path in [path, os.path.join(path, "repo")]
        if holds(path)
    ],
}
with open(file, "w", encoding="utf-8") as out:
    json.dump(answer, out)
"""


class CMError(Resnet50Error):
    """CM fails, or its list of repositories cannot be read or written."""


@dataclass(frozen=True)
class Answers:
    """What CM does in one home, as it says itself."""

    by_tags: list[Path]
    """Folders of the scripts that answer, the one that runs first."""
    by_uid: list[Path]
    by_every_tag: list[Path]
    """Those that answer to all tags that our script has now."""
    candidates: list[Path]
    """Folders of all scripts of our name, in the order of CM's repositories."""
    packages: list[str]
    """The packages that CM finds by itself, in its own spelling."""


def home(process: Mapping[str, str] = os.environ) -> Path:
    """Return CM's home, as CM finds it."""
    named = process.get("CM_REPOS", "").strip()
    return Path(named) if named else Path("~/CM").expanduser()


def uses_index(process: Mapping[str, str] = os.environ) -> bool:
    """Whether CM looks for scripts in its index, and not in all folders each time."""
    return process.get("CM_INDEX", "").strip().lower() not in ("no", "off", "false")


def who_answers(repos: Path, tags: str, meta: Mapping[str, Any]) -> Answers:
    """Ask CM itself which scripts answer in the home `repos`; nothing in it is changed.

    Parameters
    ----------
    meta : mapping
        The meta of our script.

    Raises
    ------
    CMError
        If CM fails.
    """
    # CM repairs its list, and writes its index, when it starts: it is given copies of both.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "CM"
        copy.mkdir()
        for name in ("repos.json", "index.json"):
            with suppress(FileNotFoundError):
                (copy / name).write_bytes((repos / name).read_bytes())
        if (repos / "repos").is_dir():
            (copy / "repos").symlink_to((repos / "repos").resolve())
        file = Path(folder) / "answer.json"
        arguments = [tags, str(meta["uid"]), ",".join(meta["tags"]), str(file)]
        done = _run([sys.executable, "-c", _WHO, *arguments], copy, Path(folder))
        if not file.is_file():
            raise CMError(f"CM failed to look for {tags}: {_last_line(done)}")
        found = json.loads(file.read_text(encoding="utf-8"))

    def folders(key: str) -> list[Path]:
        return [Path(path) for path in found[key]]

    in_order = [_script_in(Path(scripts)) for scripts in found["repositories"]]
    return Answers(
        folders("by_tags"),
        folders("by_uid"),
        folders("by_every_tag"),
        [script for script in in_order if script is not None],
        found["packages"],
    )


def is_ours(script: Path) -> bool:
    """Whether the folder `script` is the one of this installation."""
    with suppress(OSError):
        return script.samefile(PACKAGE / "repo" / "script" / SCRIPT)
    return False


def put_first(repos: Path, packages: list[str]) -> list[str]:
    """List our package in CM's ``repos.json`` before all that have a script of our name.

    Parameters
    ----------
    packages : list of str
        As `Answers` has them: CM compares paths as texts.

    Returns
    -------
    list of str
        What the file lists now; what it listed before is kept.

    Raises
    ------
    CMError
        If the file cannot be read or written.
    """
    file = repos / "repos.json"
    try:
        ours = next((path for path in packages if Path(path).samefile(PACKAGE)), str(PACKAGE))
        listed = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        if not isinstance(listed, list) or not all(isinstance(path, str) for path in listed):
            raise ValueError("expected a list of paths")
        others = [path for path in listed if path != ours]
        others += [path for path in packages if path not in (*listed, ours) and _rival(repos, path)]
        first = next(
            (index for index, path in enumerate(others) if _rival(repos, path)), len(others)
        )
        wanted = [*others[:first], ours, *others[first:]]
        if wanted != listed:
            repos.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f"{file.name}.{os.getpid()}")
            temporary.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
            temporary.replace(file)
    except (OSError, ValueError, RecursionError) as error:
        raise CMError(f"{file} cannot be changed: {error}") from error
    return wanted


def reindex(repos: Path) -> None:
    """Have CM make its index anew.

    Raises
    ------
    CMError
        If CM fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = _run([sys.executable, "-m", "cmind", "reindex", "repo"], repos, Path(folder))
    if done.returncode:
        raise CMError(f"`cm reindex repo` failed: {_last_line(done)}")


def _rival(repos: Path, listed: str) -> bool:
    """Whether the repository that ``repos.json`` calls `listed` has a script of our name."""
    return any(
        _script_in(folder / prefix) is not None
        for folder in (repos / "repos" / listed, Path(listed))
        for prefix in ("", "repo")
    )


def _script_in(scripts: Path) -> Path | None:
    folder = scripts / "script" / SCRIPT
    return folder if any((folder / f"_cm.{kind}").is_file() for kind in ("json", "yaml")) else None


def _run(command: list[str], repos: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - this interpreter, and no shell
            command,
            cwd=folder,
            env={**os.environ, "CM_REPOS": str(repos)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise CMError(f"CM did not answer within {TIMEOUT:.0f} s") from None


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else "it printed nothing"
