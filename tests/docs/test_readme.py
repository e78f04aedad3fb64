"""README.md and docs/reference.md: they are what their sources say, and say all of it."""

from __future__ import annotations

import dataclasses
import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.options import PREFIX, Options
from tests.docs import pages
from tools.readme import reference, render

FILES = "Which file a request means"
PHASES = ("deps", "prehook_deps", "posthook_deps", "post_deps")


@pytest.fixture(scope="module")
def meta() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def text() -> str:
    return pages.README.read_text(encoding="utf-8")


@pytest.fixture(scope="module", name="reference")
def reference_page() -> str:
    return pages.REFERENCE.read_text(encoding="utf-8")


def asked(name: str) -> str:
    return ",".join(f"_{part}" for part in name.split(","))


def dependencies(meta: dict[str, Any]) -> list[dict[str, Any]]:
    owners = [meta, *meta["variations"].values()]
    return [dep for phase in PHASES for owner in owners for dep in owner.get(phase, ())]


def test_fresh(meta: dict[str, Any], text: str) -> None:
    assert text == render(meta), "README.md is stale: run `make docs`"
    shown = pages.REFERENCE.read_text(encoding="utf-8")
    assert shown == reference(meta), "docs/reference.md is stale: run `make docs`"


def test_the_readme_is_short_and_leads_to_the_reference(text: str) -> None:
    assert len(text.splitlines()) <= 150
    assert "docs/reference.md" in pages.links(text[: text.index("## Summary")])


def test_the_first_screen_has_each_way_in(text: str) -> None:
    screen = text[: text.index("## Summary")]
    assert pages.blocks(screen, "bash") == [
        "pip install .\ncm run script --tags=get,ml-model,resnet50\n",
        "cmx-resnet50 get _onnx --to models\n",
    ]
    assert len(pages.blocks(screen, "python")) == 1
    for words in ("mlcr get,ml-model,resnet50", "cmx-resnet50 mlc add", "cm reindex repo"):
        assert words in screen
    assert len(screen.splitlines()) < 60


def test_summary(meta: dict[str, Any], text: str) -> None:
    facts = dict(pages.rows(pages.section(text, "Summary")))
    assert facts["Category"] == meta["category"]
    assert facts["Licence"].startswith(meta["license"])
    assert facts["Tags"] == f"`{','.join(meta['tags'])}`"
    assert facts["Cached?"].startswith("yes")


def test_variations_with_all_they_set(meta: dict[str, Any], reference: str) -> None:
    listed = pages.items(pages.section(reference, "Variations"))
    expected = {
        asked(name): {f"`{key}={value}`" for key, value in variation.get("env", {}).items()}
        for name, variation in meta["variations"].items()
        if "alias" not in variation
    }
    assert listed.keys() == expected.keys()
    for name, env in expected.items():
        assert {line for line in listed[name] if line.startswith("`")} == env, name


def test_variations_with_their_dependencies(meta: dict[str, Any], reference: str) -> None:
    listed = pages.items(pages.section(reference, "Variations"))
    for name, variation in meta["variations"].items():
        for phase in PHASES:
            for dep in variation.get(phase, ()):
                assert any(
                    line.startswith(f"{phase}: `{dep['tags']}`") for line in listed[asked(name)]
                ), (name, dep["tags"])
        for target, change in variation.get("adr", {}).items():
            assert any(
                f"`{target}`" in line and f"`{change['tags']}`" in line
                for line in listed[asked(name)]
            ), (name, target)


def test_groups_with_defaults_and_aliases(meta: dict[str, Any], reference: str) -> None:
    table = {row[0]: row for row in pages.rows(pages.section(reference, "Variations"))}
    members: dict[str, set[str]] = {}
    for name, variation in meta["variations"].items():
        if "group" in variation:
            members.setdefault(f"`{variation['group']}`", set()).add(name)
    assert table.keys() == members.keys()
    for group, (_, names, default) in table.items():
        aliases = {n for n, v in meta["variations"].items() if v.get("alias") in members[group]}
        assert pages.spans(names) == {asked(name) for name in members[group] | aliases}
        defaults = {n for n in members[group] if meta["variations"][n].get("default")}
        assert pages.spans(default) == {asked(name) for name in defaults}


def test_default_variations(meta: dict[str, Any], reference: str) -> None:
    lines = pages.section(reference, "Default variations").split("\n")
    for name, variation in meta["variations"].items():
        if variation.get("default"):
            assert f"- `{asked(name)}` of `{variation['group']}`" in lines
        for group, default in variation.get("default_variations", {}).items():
            assert f"- `{asked(default)}` of `{group}`, with `{asked(name)}`" in lines


def test_const_and_keys_of_identity_are_explained_not_listed(
    meta: dict[str, Any], reference: str
) -> None:
    shown = pages.section(reference, "Customization")
    assert "`const`" in shown
    assert "`CM_RESNET50_ASKED_*`" in shown
    for key in (row["env"] for row in meta["extra_cache_tags_from_env"]):
        assert f"`{key}=" not in shown


def test_default_env(meta: dict[str, Any], reference: str) -> None:
    shown = pages.spans(pages.section(reference, "Default env"))
    internal = {row["env"] for row in meta["extra_cache_tags_from_env"]} | {f"{PREFIX}RUN_ENSURED"}
    expected = {**meta["default_env"], **meta["env"]}
    for key, value in expected.items():
        assert (f"{key}={value}" in shown) is (key not in internal)


def test_flags(meta: dict[str, Any], reference: str) -> None:
    table = {row[0]: row for row in pages.rows(pages.section(reference, "Input flags"))}
    flags = {*meta["input_mapping"], *meta["input_description"]}
    written = {flag: f"`--{flag}`" if len(flag) > 1 else f"`-{flag}`" for flag in flags}
    assert table.keys() == set(written.values())
    for flag, key in meta["input_mapping"].items():
        assert table[written[flag]][2] == f"`{key}`"
    for flag, described in meta["input_description"].items():
        assert described["desc"] in table[written[flag]][1]


def test_options(reference: str) -> None:
    table = {row[0]: row for row in pages.rows(pages.section(reference, "Options"))}
    names = [f"`{PREFIX}{field.name.upper()}`" for field in dataclasses.fields(Options)]
    assert list(table) == names
    assert all(meaning for _, _, meaning in table.values())
    assert table["`CM_RESNET50_STRICT`"][1:] == [
        "`no`",
        "Treat warnings as errors",
    ]
    assert table["`CM_RESNET50_READ_TIMEOUT`"][1] == "`30`"


def test_dependencies_in_order_of_work(meta: dict[str, Any], reference: str) -> None:
    shown = pages.section(reference, "Dependencies")
    lines = [line for line in shown.splitlines() if line[:1].isdigit()]
    for dep in dependencies(meta):
        line = next(line for line in lines if f" `{dep['tags']}`" in line)
        for name in dep.get("names", ()):
            assert f"`--adr.{name}.tags`" in line
        assert ("dynamic" in line) is bool(dep.get("dynamic"))
    downloader, ensure = "`--adr.model-downloader.tags`", "`ensure-ml-model-resnet50`"
    words = ("`get,python3`", "`preprocess`", downloader, "`postprocess`", ensure)
    order = [shown.index(word) for word in words]
    assert order == sorted(order)


def test_new_env_keys_those_of_the_hooks_marked(meta: dict[str, Any], reference: str) -> None:
    shown = pages.rows(pages.section(reference, "Script output"))
    table = {row[0].strip("`"): row for row in shown}
    declared = {*meta["env"]}
    for owner in (*meta["variations"].values(), *meta["artifacts"].values()):
        declared.update(owner.get("env", {}), owner.get("exports", {}))
    exported = {k for k in declared if any(fnmatchcase(k, p) for p in meta["new_env_keys"])}
    assert exported <= table.keys()
    assert all(meaning for _, _, meaning in table.values()), "a key whose meaning is missing"
    by_hooks = (
        "ACCURACY FILE FILE_WITH_PATH MD5 ONNX_OPSET PARAM_FILE_WITH_PATH PATH PRECISION "
        "REQUESTED_PRECISION SHA256 SIZE STARTING_WEIGHTS_FILENAME VERIFIED WEIGHTS"
    )
    for name in by_hooks.split():
        assert table[f"CM_ML_MODEL_{name}"][1] == "hooks"
    for name in ("DATASET", "IMAGE_HEIGHT", "BATCH_SIZE", "RETRAINING"):
        assert table[f"CM_ML_MODEL_{name}"][1] == ""
    assert "CM_ML_MODEL" not in table


def test_printed_env_and_maintainers(meta: dict[str, Any], reference: str, text: str) -> None:
    shown = pages.spans(pages.section(reference, "Script output"))
    assert meta["print_env_at_the_end"].keys() <= shown
    for maintainer in meta["maintainers"]:
        assert f"- {maintainer}" in pages.section(text, "Maintainers")


def test_table_of_files(meta: dict[str, Any], reference: str) -> None:
    shown = pages.section(reference, FILES)
    table = pages.rows(shown)
    for url, artifact in meta["artifacts"].items():
        facts = [row for row in table if row[1] == f"[{artifact['file']}]({url})"]
        assert len(facts) == 1, url
        request, _, form, precision, layout, opset, size = facts[0]
        assert form == artifact["format"]
        if artifact["matches"]:
            assert precision == artifact["precision"]
            assert layout == artifact["layout"]
        if artifact["format"] == "onnx":
            assert opset == str(artifact["opset"] or "unknown")
        bytes_ = artifact["bytes"] or artifact["approx_bytes"]
        assert size.removeprefix("about ") == (f"{bytes_:,}" if bytes_ else "unknown")
        assert size.startswith("about ") is (not artifact["bytes"] and bytes_ is not None)
        (inside,) = [row for row in table if row[0] == request and row is not facts[0]]
        for tensor in [*(artifact["inputs"] or ()), *(artifact["outputs"] or ())]:
            assert f"[{','.join(map(str, tensor['shape']))}]" in inside[1] + inside[2]
        digest = artifact["md5"] or artifact["archive"]["md5"]
        assert f"`{digest}`" in inside[3]
    for valid in Catalog(meta).requests():
        assert valid.variations in pages.spans(shown)


def test_default_request_is_named(reference: str) -> None:
    first_cells = {row[0] for row in pages.rows(pages.section(reference, FILES))}
    assert {cell for cell in first_cells if "default" in cell} == {"`_onnx,_fp32` (default)"}


def test_picture(text: str) -> None:
    (picture,) = pages.blocks(text, "mermaid")
    assert picture.startswith("flowchart LR\n")
    for package in ("request", "catalog", "store", "fetch", "mirrors", "place", "keys"):
        assert f" {package}" in picture
    for opening, closing in ("[]", '""'):
        assert picture.count(opening) == picture.count(closing)
    assert picture.count('"') % 2 == 0


def test_follows_its_source(meta: dict[str, Any]) -> None:
    """A change of the meta is a change of the pages: nothing of it is in the generator."""
    changed = json.loads(json.dumps(meta))
    changed["variations"]["made-up"] = {"group": "precision", "env": {"CM_ML_MODEL_VER": "9|9"}}
    changed["input_mapping"]["made_up_flag"] = "CM_RESNET50_TO"
    changed["maintainers"] = ["somebody else"]
    made = reference(changed)
    assert pages.items(pages.section(made, "Variations"))["_made-up"] == {"`CM_ML_MODEL_VER=9|9`"}
    flags = {row[0]: row for row in pages.rows(pages.section(made, "Input flags"))}
    assert flags["`--made_up_flag`"][2] == "`CM_RESNET50_TO`"
    assert "somebody else" in render(changed)
