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
from typing import Any, ClassVar

from tests.harness.cm import CM, Result, Running

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
answer["new_env"] = {key.replace("MLC_", "CM_", 1): new_env[key] for key in new_env}
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

    program: ClassVar[str] = "mlc"
    interrupted: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = self.repos / "repos.json"
        if self.template is not None:
            text = listed.read_text(encoding="utf-8")
            listed.write_text(text.replace(str(self.template), str(self.repos)), encoding="utf-8")

    @property
    def cache(self) -> Path:
        """The folder of the cache entries."""
        return self.repos / "local" / "cache"

    def key(self, name: str) -> str:
        """Return how this engine names the key that CM calls `name`."""
        return renamed(name)

    def cache_entries(self, tags: str) -> list[Path]:
        """Return the folders of the cache entries that have `tags`, and none behind a minus."""
        wanted = {tag for tag in tags.split(",") if not tag.startswith("-")}
        unwanted = {tag[1:] for tag in tags.split(",") if tag.startswith("-")}
        metas = sorted(self.cache.glob("*/meta.json"))
        found = {meta.parent: {*json.loads(meta.read_text())["tags"]} for meta in metas}
        return [path for path in found if wanted <= found[path] and not unwanted & found[path]]

    def remove_entries(self) -> Result:
        """Remove the cache entries of our script, with the engine's own command."""
        return self.command("mlc", "rm", "cache", "--tags=ml-model,resnet50", "-f")

    def reindex(self) -> Result:
        """Have the engine make its index anew."""
        return self.command("mlc", "reindex")

    def add_script(self, alias: str, uid: str, **meta: Any) -> None:
        """Add a script to the user's local repository; keys are given with CM's prefix."""
        folder = self.repos / "local" / "script" / alias
        folder.mkdir(parents=True, exist_ok=True)
        engine = {"automation_alias": "script", "automation_uid": "5b4e0237da074764"}
        text = json.dumps({"alias": alias, "uid": uid, **engine, **meta})
        (folder / "meta.json").write_text(text.replace("CM_", "MLC_"), encoding="utf-8")
        code = "def preprocess(i):\n    return {'return': 0}\n"
        (folder / "customize.py").write_text(code, encoding="utf-8")

    def calling(self, tags: str) -> str:
        """Return Python code that runs a request, and fails where that does."""
        request = {"action": "run", "target": "script", "tags": tags, "quiet": True}
        return f"import mlc; assert mlc.access({request})['return'] == 0"

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
            if last.endswith(","):
                place[last.removesuffix(",")] = value.split(",")
            else:
                place[last] = value if given else True
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.home))
        asked = folder / "request.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        line = ("python", "-c", _DRIVER, str(asked), str(folder / "saved.json"))
        return self._start(line, folder, env, cwd, tty)
