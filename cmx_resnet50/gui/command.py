"""One request for a script as commands: ``cm``, ``cmr``, Python, ``cm docker``, and MLC's ``mlcr``.

The first four mean the same: CM reads them into one dictionary, which is also what the page runs.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PYTHON = """import cmind

result = cmind.access(
{request}
)
if result["return"] > 0:
    raise SystemExit(result["error"])
print(result["new_env"])
"""


@dataclass(frozen=True)
class Command:
    """A script, the requested variations, and its inputs.

    `artifact` names the script where its tags are shared with others; `tags` are empty then.
    The page cannot answer a question, so each form has ``--quiet``.
    """

    tags: tuple[str, ...] = ()
    artifact: str = ""
    variations: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The arguments of ``cm``, for a process without a shell."""
        return ["run", "script", *self._named(), *self._flags()]

    @property
    def cm(self) -> str:
        """The command for ``cm``."""
        return shlex.join(["cm", *self.arguments])

    @property
    def cmr(self) -> str:
        """The command for ``cmr``, which takes tags as words."""
        tags = self._all_tags()
        if self.artifact or len(tags) < 2 or any(" " in tag for tag in tags):
            # A single word would be read as a name, and a blank inside a tag would split it.
            return shlex.join(["cmr", *self._named(), *self._flags()])
        return shlex.join(["cmr", " ".join(tags), *self._flags()])

    @property
    def mlcr(self) -> str:
        """The command for MLC's ``mlcr``, which takes tags only; its keys have another prefix."""
        flags = (re.sub(r"(--(?:env|const)\.)CM_", r"\1MLC_", flag) for flag in self._flags())
        return shlex.join(["mlcr", ",".join(self._all_tags()), *flags])

    @property
    def docker(self) -> str:
        """The command that runs the script in a container."""
        return shlex.join(["cm", "docker", "script", *self._named(), *self._flags()])

    @property
    def python(self) -> str:
        """A Python program."""
        return _PYTHON.format(request=_literal(self._request(), 4))

    def _all_tags(self) -> list[str]:
        return [*self.tags, *(f"_{name}" for name in self.variations)]

    def _named(self) -> list[str]:
        tags = self._all_tags()
        return [self.artifact] * bool(self.artifact) + [f"--tags={','.join(tags)}"] * bool(tags)

    def _flags(self) -> list[str]:
        return [*(f"--{key}={value}" for key, value in self.inputs.items()), "--quiet"]

    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = {"action": "run", "automation": "script"}
        if self.artifact:
            request["artifact"] = self.artifact
        if tags := self._all_tags():
            request["tags"] = ",".join(tags)
        for key, value in self.inputs.items():
            # As CM's command line reads a key: a minus in its first part is an underscore, and
            # a dot starts a nested dictionary.
            first, *rest = key.split(".")
            path = [first.replace("-", "_"), *rest]
            place = request
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = value
        request["quiet"] = True
        return request


def _literal(value: Any, indent: int) -> str:
    """Return a dictionary of texts as Python source, one line an entry."""
    space = " " * indent
    if isinstance(value, dict):
        lines = "".join(
            f"{space}    {json.dumps(key)}: {_literal(content, indent + 4).lstrip()},\n"
            for key, content in value.items()
        )
        return f"{space}{{\n{lines}{space}}}"
    return repr(value) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
