"""How one engine names its keys and its command; and its env, seen without its prefix.

Everything else in this package is written in the names of `EnvView`, which are the same under
every engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmx_resnet50.options import HOMES, absolute
from cmx_resnet50.shell_values import Place
from cmx_resnet50.wording import Wording

Env = MutableMapping[str, Any]

MODEL = "ML_MODEL_"
"""Begins the keys that are exported, behind the engine's prefix."""
SHAPES = MODEL + "INPUT_SHAPES"
"""The key whose value has quotes; as documented, with a backslash before each."""
OPTION = "RESNET50_"
"""Begins the keys of this script alone, behind the engine's prefix."""
META = "CM_"
"""The prefix that ``_cm.json`` is written in, whatever engine runs: artifacts declare keys, too."""


@dataclass(frozen=True)
class Dialect:
    """How one engine names what all of them have."""

    name: str
    prefix: str
    """Begins every key of the engine, say ``CM_``."""
    run: str
    """The command that runs this script, up to its variations."""
    cache: str
    """The folder of its cache entries, in its home."""
    native_step: str = ""
    """The script's native step that makes a batch true in a frozen graph; empty: the library."""
    escapes_quotes: bool = False
    """Whether it puts a backslash before each quote of a value that it writes into a script."""
    names_defaults: bool = False
    """Whether the variations that a hook is given include the defaults, which nobody asked for."""

    def view(self, env: Env) -> EnvView:
        """Return `env` under names without the engine's prefix; writing to it writes to `env`."""
        return EnvView(env, self)

    def asked_by_name(self, variations: Sequence[str], tags: str) -> list[str]:
        """Return the variations that were asked for by name.

        Parameters
        ----------
        variations : sequence of str
            Those that a hook is given.
        tags : str
            The tags of the run, as they were given.
        """
        if not self.names_defaults:
            return list(variations)
        words = (tag.strip() for tag in tags.split(","))
        return [word.replace("_", "", 1) for word in words if word.startswith(("_", "-_"))]

    def quoted(self, name: str) -> Place:
        """Return the place into which it writes the value of the variable `name`."""
        if not self.escapes_quotes:
            return Place.QUOTED
        return Place.SHAPES if name == self.prefix + SHAPES else Place.ESCAPED

    def as_text(self, shapes: str) -> str:
        """Return the documented shapes of inputs as this engine keeps them text in a script."""
        return shapes.replace('\\"', '"') if self.escapes_quotes else shapes

    @property
    def cache_folder(self) -> Path:
        """The folder of its cache entries."""
        name = f"{self.prefix}REPOS"
        return absolute(name, os.environ.get(name, "").strip() or HOMES[name]) / self.cache

    @property
    def wording(self) -> Wording:
        """The words that this engine's users know."""
        const = f"--const.{self.prefix}"
        return Wording(f"{self.run},", f"{const}PACKAGE_URL=", f"{const}DOWNLOAD_CHECKSUM=")


class EnvView(MutableMapping[str, Any]):
    """An engine's env under names without its prefix; keys of others are not in it.

    Examples
    --------
    >>> env = {"CM_ML_MODEL": "RESNET50", "PATH": "/bin"}
    >>> view = EnvView(env, Dialect("cm", "CM_", "cm run script", "cache"))
    >>> view["QUIET"] = "yes"
    >>> dict(view), env["CM_QUIET"]
    ({'ML_MODEL': 'RESNET50', 'QUIET': 'yes'}, 'yes')
    """

    def __init__(self, env: Env, dialect: Dialect) -> None:
        self.raw = env
        """The engine's own env."""
        self.dialect = dialect
        self.prefix = dialect.prefix

    def full(self, name: str) -> str:
        """Return `name` as the engine's users know it."""
        return self.prefix + name

    def __getitem__(self, name: str) -> Any:
        return self.raw[self.prefix + name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.raw[self.prefix + name] = value

    def __delitem__(self, name: str) -> None:
        del self.raw[self.prefix + name]

    def __iter__(self) -> Iterator[str]:
        start = len(self.prefix)
        return (key[start:] for key in list(self.raw) if key.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
