"""`MLC`: the successor's engine as one user runs it, with the face of `CM`.

A test that uses what both have runs under both: keys of a request and of its result are given
and read with CM's prefix, and are MLC's in the run. `run` calls ``mlc.access`` in a process of
its own; `command` runs the real ``mlcr`` and ``mlc``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.cm import CM, Running

_DRIVER = """
import json, sys
from pathlib import Path
import mlc
request, saved = map(Path, sys.argv[1:])
answer = {}
try:
    answer = mlc.access(json.loads(request.read_text()))
except Exception as error:
    answer = {"return": 1, "error": str(error)}
new_env = answer.get("new_env", {})
answer["new_env"] = {"CM_" + key.removeprefix("MLC_"): new_env[key] for key in new_env}
saved.write_text(json.dumps(answer, default=repr))
if answer["return"]:
    sys.stderr.write(answer["error"] + "\\n")
    sys.exit(1)
"""


def renamed(key: str) -> str:
    """Return ``const.CM_KEY`` as ``const.MLC_KEY``."""
    where, dot, name = key.rpartition(".")
    return f"{where}{dot}MLC_{name.removeprefix('CM_')}" if name.startswith("CM_") else key


@dataclass(frozen=True)
class MLC(CM):
    """One user's MLC; `repos` is MLC_REPOS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = self.repos / "repos.json"
        if self.template is not None:
            text = listed.read_text(encoding="utf-8")
            listed.write_text(text.replace(str(self.template), str(self.repos)), encoding="utf-8")

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the whole environment of a run."""
        found = super().environment(env)
        del found["CM_REPOS"]
        return {**found, "MLC_REPOS": str(self.repos)}

    def start(
        self,
        *args: str,
        program: str = "cm",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        tty: bool = False,
    ) -> Running:
        """Start a program of the installation, or, for a run of the script, MLC."""
        if program != "cm":
            return super().start(*args, program=program, env=env, cwd=cwd, tty=tty)
        assert args[:2] == ("run", "script"), args
        request: dict[str, Any] = {"action": "run", "target": "script"}
        for argument in args[2:]:
            key, given, value = argument.removeprefix("--").partition("=")
            *path, last = renamed(key).split(".", 1 if key.startswith(("env.", "const.")) else -1)
            place = request
            for name in path:
                place = place.setdefault(name, {})
            place[last] = value if given else True
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.home))
        asked = folder / "request.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        line = ("python", "-c", _DRIVER, str(asked), str(folder / "saved.json"))
        return self._start(line, folder, env, cwd, tty)
