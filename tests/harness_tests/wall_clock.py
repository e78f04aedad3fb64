"""Finds assertions on wall-clock time, which hold on one machine and fail on a busy one.

What work costs is asserted in CPU time, bytes or requests; what comes after what, by events; and
a wait that would never end is ended by the guard of `tests.harness.waiting`. Flagged are, in
Python and in programs that tests hold as text:

- a clock, or a value that comes from one, in an assertion or as the condition of a ``raise``;
- a duration (`DURATIONS`) in an assertion;
- a timeout of less than `GUARD` seconds, unless the test is that it comes;
- a deadline of hypothesis.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

GUARD = 60
CLOCKS = {"monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns", "timeit"}
DURATIONS = {"seconds", "elapsed", "duration"}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def in_tests(folder: Path) -> list[str]:
    """Return what is found in all modules below `folder` that hold tests."""
    return [
        f"{path.relative_to(folder)}:{found}"
        for path in sorted(folder.rglob("*.py"))
        if path.name != "test_wall_clock.py" and "harness" not in path.parts
        for found in findings(path.read_text(encoding="utf-8"))
    ]


def findings(source: str) -> list[str]:
    """Return ``line: what`` for each assertion on time in a module."""
    tree = ast.parse(source)
    scopes: list[ast.AST] = [tree]
    if any(clock in source for clock in (*CLOCKS, "time.time")):
        scopes += (node for node in ast.walk(tree) if isinstance(node, _SCOPES))
    # Functions that return what a clock said make it out of their scope.
    known: set[str] = set()
    while True:
        made = {getattr(scope, "name", "") for scope in scopes if _returns_time(scope, known)}
        if made <= known:
            break
        known |= made
    found = set(_timeouts(tree))
    for scope in scopes:
        timed = _timed(scope, known)
        for node in ast.walk(scope):
            match node:
                case ast.Assert(test=test) if _holds(test, timed) or _has_duration(test):
                    found.add((node.lineno, "an assertion on time"))
                case ast.If(test=test, body=[*_, ast.Raise()]) if _holds(test, timed):
                    found.add((node.lineno, "an error by the clock"))
    return [f"{line}: {what}" for line, what in sorted(found)]


def _names(node: ast.AST) -> set[str]:
    return {
        inner.id if isinstance(inner, ast.Name) else inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Name, ast.Attribute))
    }


def _holds(node: ast.AST, timed: set[str]) -> bool:
    """Whether an expression reads a clock, or has one of the names in `timed`."""
    return bool(_names(node) & (timed | CLOCKS)) or "time.time()" in ast.unparse(node)


def _has_duration(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr in DURATIONS for n in ast.walk(node))


def _timed(scope: ast.AST, known: set[str]) -> set[str]:
    """Return the names in `scope` that have what a clock said, however indirectly."""
    timed = set(known)
    while True:
        before = len(timed)
        for node in ast.walk(scope):
            match node:
                case ast.Assign(targets=targets, value=value) if _holds(value, timed):
                    timed |= {name for target in targets for name in _names(target)}
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    timed |= _names(target) if _holds(value, timed) else set()
                case ast.Call(func=ast.Attribute(value=held, attr="append"), args=[value]):
                    timed |= _names(held) if _holds(value, timed) else set()
        if len(timed) == before:
            return timed


def _returns_time(scope: ast.AST, known: set[str]) -> bool:
    returned = [node.value for node in ast.walk(scope) if isinstance(node, ast.Return)]
    timed = _timed(scope, known)
    return any(value is not None and _holds(value, timed) for value in returned)


def _timeouts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    meant = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and "raises" in _names(node.items[0].context_expr)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if any(f"{clock}()" in text for clock in CLOCKS):
                yield node.lineno, "a program that reads the clock"
            case ast.keyword(arg="deadline", value=ast.Constant(value=int() | float())):
                yield node.value.lineno, "a deadline"
            case ast.keyword(arg="timeout", value=ast.Constant(value=int() | float() as seconds)):
                if seconds < GUARD and node not in meant:
                    yield node.value.lineno, "a timeout that a busy machine may reach"
            case ast.Call(
                func=ast.Attribute(attr="wait" | "join"),
                args=[ast.Constant(value=int() | float() as seconds)],
            ):
                if seconds < GUARD and node not in meant:
                    yield node.lineno, "a timeout that a busy machine may reach"
