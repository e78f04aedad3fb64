"""Scripts as CM finds them: by tags, one of each uid, and the nearest when none or many match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cmx_resnet50.errors import Resnet50Error

Access = Callable[[dict[str, Any]], dict[str, Any]]
"""``cmind.access``, or a method that does the same."""

_SHOWN = 10


@dataclass(frozen=True)
class Script:
    """One CM script: its meta and its folder."""

    meta: Mapping[str, Any]
    path: Path

    @property
    def alias(self) -> str:
        """The name."""
        return str(self.meta.get("alias") or self.uid)

    @property
    def uid(self) -> str:
        """The unique identifier."""
        return str(self.meta.get("uid", ""))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, as the meta lists them."""
        return tuple(str(tag) for tag in self.meta.get("tags") or ())


class NotOne(Resnet50Error):
    """Tags that match no script or several; `candidates` are these or the nearest."""

    def __init__(self, reason: str, candidates: Sequence[Script]) -> None:
        self.reason = reason
        self.candidates = tuple(candidates)
        lines = [f"  --script={','.join(s.tags)}   ({s.alias})" for s in candidates[:_SHOWN]]
        if len(candidates) > _SHOWN:
            lines.append(f"  and {len(candidates) - _SHOWN} more")
        super().__init__("\n".join([reason, *lines]))


def split(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags and the variations in `text`, separated by commas or blanks."""
    words = text.replace(",", " ").split()
    return (
        tuple(word for word in words if not word.startswith("_")),
        tuple(word for word in words if word.startswith("_")),
    )


def find(access: Access, tags: Iterable[str] = ()) -> list[Script]:
    """Return the scripts that have all `tags`, in the order in which CM prefers them.

    Raises
    ------
    Resnet50Error
        If CM cannot answer.
    """
    request = {"action": "find", "automation": "script", "tags": ",".join(tags)}
    answer = access(request)
    if answer["return"] > 0:
        raise Resnet50Error(f"CM could not list scripts: {answer.get('error', '')}")
    found = [Script(artifact.meta, Path(artifact.path)) for artifact in answer["list"]]
    found.sort(key=lambda script: (script.meta.get("sort", 0), str(script.path)))
    first: dict[str, Script] = {}
    for script in found:
        # Two packages may hold one uid: CM runs the first.
        first.setdefault(script.uid, script)
    return list(first.values())


def one(access: Access, tags: Sequence[str]) -> Script:
    """Return the one script that has all `tags`.

    Raises
    ------
    NotOne
        If several have them, or none has.
    """
    found = find(access, tags)
    if len(found) == 1:
        return found[0]
    asked = ",".join(tags)
    if found:
        text = f"{len(found)} scripts match the tags {asked}; add tags to select one:"
        raise NotOne(text, found)
    raise NotOne(f"No script matches the tags {asked}. Nearest:", nearest(find(access), tags))


def nearest(scripts: Sequence[Script], tags: Sequence[str], count: int = 5) -> list[Script]:
    """Return the `scripts` that share most with `tags`, also where a tag is misspelt."""
    known = {tag for script in scripts for tag in script.tags}
    wanted = {tag for name in tags for tag in get_close_matches(name, known, n=2, cutoff=0.75)}
    shared = {script.uid: len(wanted & set(script.tags)) for script in scripts}
    near = [script for script in scripts if shared[script.uid]]
    near.sort(key=lambda script: (-shared[script.uid], len(script.tags), script.alias))
    return near[:count]
