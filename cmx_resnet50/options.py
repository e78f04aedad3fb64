"""The options of users: ``CM_RESNET50_*``, from the engine's env first, then from the process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.yes_no import yes_no

PREFIX = "CM_RESNET50_"
_OTHERS = frozenset(
    {
        "CHECKPOINT",
        "CHECKSUM",
        "DOCKER_NETWORK",
        "GENERATION",
        "LOCAL",
        "SOURCE",
        "TO",
        "URL_FILE",
        "URL_SOURCE",
    }
)
_BEGINNINGS = ("ASKED_", "RUN_")
"""Names of the script's own, and how others of them begin: they are not options."""
HOMES = {"CM_REPOS": "~/CM", "MLC_REPOS": "~/MLC/repos"}
"""The homes of the engines: the variable that names one, and where it is without that."""


@dataclass(frozen=True)
class Bounds:
    """What a number may be.

    Examples
    --------
    >>> str(BOUNDS["connections"])
    'a whole number from 1 to 64'
    """

    least: float
    most: float
    whole: bool = False

    def __contains__(self, number: object) -> bool:
        right = int if self.whole else (int, float)
        return (
            isinstance(number, right)
            and not isinstance(number, bool)
            and self.least <= number <= self.most
        )

    def __str__(self) -> str:
        return f"a {'whole ' * self.whole}number from {self.least:g} to {self.most:,g}"

    def read(self, text: str) -> float:
        """Return the number that `text` means.

        Raises
        ------
        ValueError
            If it means none, or one outside the bounds.
        """
        number = int(text) if self.whole else float(text)
        if number not in self:
            raise ValueError(text)
        return number


_DAY = 86_400
BOUNDS = {
    "connections": Bounds(1, 64, whole=True),
    "connect_timeout": Bounds(0.1, _DAY),
    "read_timeout": Bounds(0.1, _DAY),
    "retry_budget": Bounds(0.1, _DAY),
    "stall_seconds": Bounds(0.1, _DAY),
}
"""By the field of `Options`; times are seconds."""
BATCHES = Bounds(1, 999_999, whole=True)
"""Batch sizes that a file can be given."""


class OptionError(Resnet50Error):
    """An option with an invalid value; the text names the option and what it accepts."""


@dataclass(frozen=True)
class Options:
    """What users can set; each field is the option of the same name in capitals."""

    store: Path
    """Folder of the store; next to CM's cache by default."""
    strict: bool = False
    """Treat warnings as errors."""
    offline: bool = False
    """Work offline."""
    accept_any: bool = False
    """Accept a given file whose digest is not known."""
    force: bool = False
    """Replace a file of yours in the folder that you name for the model."""
    skip_tensorflow: bool = False
    """Do without the Python and the TensorFlow that `_tensorflow,_fix-input-shape` declares."""
    mirror: tuple[str, ...] = ()
    """URL prefixes of your site's own copies, tried before all other sources."""
    connections: int = 8
    """Maximum number of connections per file."""
    connect_timeout: float = 10.0
    """Seconds to wait for a connection."""
    read_timeout: float = 30.0
    """Seconds to wait for the next bytes."""
    retry_budget: float = 300.0
    """Seconds that all retries for one file may take together."""
    stall_seconds: float = 30.0
    """Seconds after which a source that sends less than 10 KiB/s is stalled."""

    @classmethod
    def read(
        cls,
        env: Mapping[str, Any],
        process: Mapping[str, str] = os.environ,
        *,
        prefix: str = PREFIX,
        home: str = "CM_REPOS",
        base: Path | None = None,
    ) -> Options:
        """Read all options from `env`, then from `process`.

        Parameters
        ----------
        env : mapping
            An engine's env; its keys of ours begin with `prefix`.
        process : mapping
            The process's environment; its keys of ours begin with `PREFIX`.
        prefix : str
            See `env`.
        home : str
            The variable, one of `HOMES`, in whose folder the store is by default.
        base : Path, optional
            The folder that a relative path starts from, by default the working folder.

        Raises
        ------
        OptionError
            If a name or a value is not valid.
        """
        _check_names(env, prefix)
        _check_names(process, PREFIX)

        def text(name: str) -> str:
            for value in (env.get(prefix + name, ""), process.get(PREFIX + name, "")):
                value = str(value).strip()
                if value:
                    return value
            return ""

        def number(field: str) -> Any:
            name = field.upper()
            value = text(name)
            if not value:
                return getattr(cls, field)
            try:
                return BOUNDS[field].read(value)
            except ValueError:
                raise OptionError(
                    f"{PREFIX}{name}={value}: must be {BOUNDS[field]}. Correct it, or omit it for "
                    f"the default, {getattr(cls, field):g}."
                ) from None

        store = text("STORE")
        return cls(
            store=absolute(PREFIX + "STORE", store, base)
            if store
            else default_store(process, home, base),
            strict=flag(PREFIX + "STRICT", text("STRICT")),
            offline=flag(PREFIX + "OFFLINE", text("OFFLINE")),
            accept_any=flag(PREFIX + "ACCEPT_ANY", text("ACCEPT_ANY")),
            force=flag(PREFIX + "FORCE", text("FORCE")),
            skip_tensorflow=flag(PREFIX + "SKIP_TENSORFLOW", text("SKIP_TENSORFLOW")),
            mirror=mirror_prefixes(PREFIX + "MIRROR", text("MIRROR").split()),
            **{field: number(field) for field in BOUNDS},
        )


def _check_names(env: Mapping[str, Any], prefix: str) -> None:
    """Refuse a name that nobody reads: a misspelt option would do nothing, silently."""
    known = {field.name.upper() for field in fields(Options)}
    for key in env:
        name = key.removeprefix(prefix)
        if name == key or name in known | _OTHERS or name.startswith(_BEGINNINGS):
            continue
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=1)
        suggestion = f" Did you mean {PREFIX}{near[0]}?" if near else ""
        valid = ", ".join(PREFIX + known for known in sorted(known))
        raise OptionError(f"Unknown option {PREFIX}{name}; valid ones: {valid}.{suggestion}")


def flag(name: str, value: object) -> bool:
    """Return whether `value`, which a user gave for `name`, means yes.

    Raises
    ------
    OptionError
        If it means neither yes nor no.
    """
    found = yes_no(value)
    if found is None:
        raise OptionError(f"{name}={value}: must be yes or no. Correct it, or omit it.")
    return found


def unresolved(path: str) -> str | None:
    """Return what is wrong with a path as a user wrote it; None if nothing.

    It may be one that no shell has read, as in an env-file.

    Examples
    --------
    >>> unresolved("~/store"), unresolved("./$x")
    (None, None)
    """
    if not path:
        return "an empty path"
    if len(path) > 1 and path[0] == path[-1] and path[0] in "\"'":
        wrong = "has quotes around it"
    elif path.startswith("$"):
        wrong = "begins with a variable"
    else:
        return None
    return (
        f"the path {wrong}, which only a shell resolves. Write the path itself; for a file or "
        "folder of that name, begin it with ./"
    )


def mirror_prefixes(name: str, prefixes: Iterable[object]) -> tuple[str, ...]:
    """Return the prefixes of the site's mirrors that a user gave for `name`, in one spelling.

    Raises
    ------
    OptionError
        If nothing can be fetched from one of them.
    """
    from cmx_resnet50.user_urls import plain, problem_of_prefix

    found = [plain(str(prefix).strip()) for prefix in prefixes]
    for prefix in found:
        problem = problem_of_prefix(prefix)
        if problem is not None:
            from cmx_resnet50.redaction import redact

            blank = " A blank separates two mirrors; in a path write %20." * (len(found) > 1)
            raise OptionError(f"{name}={redact(prefix)}: {problem}{blank}")
    return tuple(found)


def default_store(
    process: Mapping[str, str] = os.environ, home: str = "CM_REPOS", base: Path | None = None
) -> Path:
    """Return the store where none is named: in the home of an engine, outside what it scans.

    All engines and the command share one: where only the store of another engine exists, it is
    that. Where none has one, it is in the first home that is named or exists.

    Parameters
    ----------
    process : mapping
        The process's environment.
    home : str
        The variable, one of `HOMES`, whose engine asks.
    base : Path, optional
        The folder that a relative path starts from, by default the working folder.

    Raises
    ------
    OptionError
        If there is no home: none is named, and this user has none.
    """
    names = sorted(HOMES, key=lambda name: name != home)
    named = {name: text for name in names if (text := process.get(name, "").strip())}
    stores: dict[str, Path] = {}
    failure: OptionError | None = None
    for name in names:
        try:
            stores[name] = absolute(name, named.get(name) or HOMES[name], base) / "resnet50-store"
        except OptionError as error:
            failure = failure or error
            if name in named:
                raise
    there = [store for store in stores.values() if store.is_dir()]
    likely = [store for name, store in stores.items() if name in named or store.parent.is_dir()]
    found = [*there, *likely, *stores.values()]
    if failure is not None and not found:
        raise failure
    return found[0]


def own_stores(process: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return where this user may have a store where the one that is named is another's."""
    cache = process.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    found = []
    with suppress(OptionError):  # no home
        found.append(default_store(process))
    with suppress(OptionError):
        found.append(absolute("XDG_CACHE_HOME", cache) / "cmx-resnet50" / "store")
    return tuple(found)


def absolute(name: str, path: str, base: Path | None = None) -> Path:
    """Return `path` absolute, from `base` or the working folder, with ``~`` resolved.

    Raises
    ------
    OptionError
        If ``~name`` is not a user here, ``~`` of a user without a home, or the path is
        `unresolved`; the text names the option `name`.
    """
    problem = unresolved(path)
    if problem is not None:
        raise OptionError(f"{name}={path}: {problem}")
    try:
        expanded = Path(path).expanduser()
        # The working folder may be gone; then only a relative path needs it.
        return expanded if expanded.is_absolute() else (base or Path.cwd()) / expanded
    except RuntimeError as error:
        if path != "~" and not path.startswith("~/"):
            raise OptionError(f"{name}={path}: {error}") from error
        raise OptionError(
            f"{name}={path}: HOME is not set, and this user has no home folder. Set HOME; or name "
            "folders without ~, that of the store with CM_RESNET50_STORE."
        ) from error
