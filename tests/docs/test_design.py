"""docs/design.md: its packages, modules and imports are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.docs import pages

PAGE = pages.DOCS / "design.md"
TEXT = PAGE.read_text(encoding="utf-8")
PACKAGE = pages.ROOT / "cmx_resnet50"
FREE = {"", "errors"}
"""What everybody may import: the package's own version, and the errors."""
JOINING = {"", "api", "cli", "diagnosis", "engines", "gui", "delivery"}
"""Packages that are made to join others."""
APART = ("catalog", "fetch", "store", "formats")


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name below the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ("repo", "mlc_repo"):
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def package(module: str) -> str:
    return module.partition(".")[0]


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports are not followed here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == PACKAGE.name:
                found.add(rest if rest in known else rest.rpartition(".")[0])
    return found


def imports() -> dict[str, set[str]]:
    """Return the packages that each package imports, but for those that everybody may."""
    known = modules()
    found: dict[str, set[str]] = {package(name): set() for name in known}
    for name, path in known.items():
        found[package(name)] |= {package(target) for target in imported(path, known)}
    return {name: packages - FREE - {name} for name, packages in found.items()}


def test_the_table_of_packages_is_what_is_imported() -> None:
    table = pages.rows(pages.section(TEXT, "Packages"))
    told = {name.strip("`"): pages.spans(told_imports) for name, _, told_imports in table}
    assert told == {name: packages for name, packages in imports().items() if name}
    assert all(purpose for _, purpose, _ in table)


def test_four_packages_do_not_know_one_another() -> None:
    real = imports()
    for name in APART:
        assert not real[name] & set(APART)
    joining = {name for name, packages in real.items() if len(packages & set(APART)) > 1}
    assert joining <= JOINING
    callers = {name for name, packages in real.items() if "delivery" in packages}
    assert callers == {"api", "cli", "diagnosis", "engines"}


def test_imports_go_one_way() -> None:
    left = {name: set(packages) for name, packages in imports().items()}
    while left:
        free = {name for name, packages in left.items() if not packages}
        assert free, f"a cycle among {sorted(left)}"
        left = {name: packages - free for name, packages in left.items() if name not in free}


def test_no_module_imports_itself_through_others() -> None:
    """Imports in functions and for types count: modules in a cycle can only be read together."""
    known = modules()
    left = {name: imported(path, known) - {name, ""} for name, path in known.items()}
    while left:
        used = set().union(*left.values())
        free = {name for name, targets in left.items() if not targets & left.keys()}
        free |= left.keys() - used
        assert free, f"an import cycle among {sorted(left)}"
        left = {name: targets for name, targets in left.items() if name not in free}


def test_the_picture_shows_imports_that_are_there() -> None:
    (picture,) = pages.blocks(TEXT, "mermaid")
    drawn = re.findall(r"^ +(\w+)(?:\[.*?\])? --> (\w+)", picture, re.MULTILINE)
    assert len(drawn) == picture.count("-->") > 10
    real = imports()
    for source, target in drawn:
        assert target in real[source], (source, target)
    assert set(APART) <= {target for _, target in drawn}


def test_every_module_is_named() -> None:
    inside: dict[str, set[str]] = {}
    for name in modules():
        if "." in name:
            inside.setdefault(package(name), set()).add(name.partition(".")[2])
    items = re.split(r"^- ", pages.section(TEXT, "Inside the packages"), flags=re.MULTILINE)[1:]
    named = {}
    for item in items:
        name, _, text = item.partition(":")
        named[name.strip("`")] = pages.spans(text)
    assert named == inside


def test_what_is_named_exists() -> None:
    for code in pages.spans(TEXT):
        if re.fullmatch(r"[\w.]+(/[\w.]+)*\.(py|json|yaml)|[\w]+/[\w/]*|Makefile", code):
            places = (pages.ROOT, PACKAGE)
            assert any((place / code).exists() for place in places), code


ENGINE_KEY = re.compile(r"\b(?:CM|MLC)_(?!RESNET50_|REPOS\b)[A-Z0-9_]*")
"""Keys of an engine. Options of ours, and the homes in which a store may be, are the library's."""
DECLARED = {"catalog.table": {"CM_PACKAGE_URL", "CM_ML_MODEL_STARTING_WEIGHTS_FILENAME"}}
"""Keys of ``_cm.json``, which is written in CM's words."""


def test_keys_of_an_engine_are_named_by_engines_alone() -> None:
    """A second engine is an adapter: nothing else knows how one names things."""
    for name, path in modules().items():
        if package(name) in ("engines", "gui"):  # The page is CM's.
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        documented = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        }
        found = {
            key
            for text in texts
            if isinstance(text, str) and text not in documented
            for key in ENGINE_KEY.findall(text)
        }
        assert found <= DECLARED.get(name, set()), (name, found)
