"""The page in a real browser, started as users start it: ``cmr "cm gui"``."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cmx_resnet50.gui import form, labels
from tests.gui import metas
from tests.gui.browser import Shown
from tests.gui.conftest import processes_with
from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

pytestmark = pytest.mark.gui
Open = Callable[..., Shown]
PATH = "CM_ML_MODEL_FILE_WITH_PATH"


def test_choose_read_and_run(open_page: Open, user: CM, served: dict[str, Path]) -> None:
    page = open_page()
    page.see("onnx-opset-11")
    page.choose("framework", "pytorch")
    page.wait_for_command("_pytorch")
    page.choose("precision", "int8")
    tags = "get,ml-model,resnet50,_pytorch,_int8"
    assert page.wait_for_command("_pytorch,_int8") == f"cm run script --tags={tags} --quiet"
    assert page.command("cmr") == f"cmr '{tags.replace(',', ' ')}' --quiet"
    assert page.command("docker") == f"cm docker script --tags={tags} --quiet"
    program = page.command("Python")
    requests = [
        ast.literal_eval(n) for n in ast.walk(ast.parse(program)) if isinstance(n, ast.Dict)
    ]
    assert requests == [{"action": "run", "automation": "script", "tags": tags, "quiet": True}]

    text = page.text()
    assert "resnet50_INT8bit_quantized.pt" in text
    for fact in ("Artifact pytorch-int8", "Layout NCHW", "In the store no; a run downloads it"):
        assert fact in text
    page.run()
    path = Path(page.exported(PATH))
    assert path.is_relative_to(user.repos)
    assert path.read_bytes() == delivered(served["pytorch-int8"])
    page.see("In the store yes")
    assert shlex.split(page.command())[1:4] == ["run", "script", f"--tags={tags}"]

    assert {urlsplit(url).hostname for url in page.asked if "://" in url} == {"127.0.0.1"}
    assert page.interrupt() == 0


@pytest.mark.parametrize(
    ("script", "alias"),
    [
        ("get,ml-model,resnet50", "get-ml-model-resnet50"),
        ("run-mlperf,inference,reference", "run-mlperf-inference-app"),
    ],
)
def test_all_that_a_meta_declares_is_there_by_its_name(
    open_page: Open, script: str, alias: str
) -> None:
    """As a reader for the blind finds it."""
    known = {artifact.meta["alias"]: artifact.meta for artifact in metas.upstream()}
    shape = form.read({**known, metas.OURS["alias"]: metas.OURS}[alias])
    page = open_page(script=script)
    page.run_button.wait_for()
    assert page.page.title() == alias
    if not all(entry.described for entry in shape.fields):
        page.page.get_by_text("Inputs that the script does not describe").click()
    for group in shape.groups:
        default, _ = shape.implied({}).get(group.name, (group.default, ""))
        names = {value: label for value, (label, _) in labels.options(group, default).items()}
        page.has(group.name, names[""], list(names.values()))
        for choice in group.choices:
            assert choice.description in page.text() or len(names) > 8
    for switch in shape.switches:
        assert not page.main.get_by_role(
            "switch", name=labels.name(switch), exact=True
        ).is_checked()
    for value in shape.values:
        page.has_field(value.label, "not set")
    for entry in shape.fields:
        label = labels.spoken(f"{entry.key}: {entry.text}" if entry.text else entry.key)
        if entry.choices:
            names = labels.inputs(entry)
            page.has(label, names[""], list(names.values()))
        else:
            page.has_field(label, entry.default)
    nameless = re.compile(r"\s*- (textbox|button|radio|radiogroup|switch|combobox|link)\W*")
    assert not list(filter(nameless.fullmatch, page.main.aria_snapshot().splitlines()))
    levels = page.main.locator("h1,h2,h3,h4").evaluate_all("all => all.map(one => one.tagName)")
    assert (levels[0], {*levels[1:]}) == ("H1", {"H2"})


def test_what_each_variation_sets_is_there(open_page: Open) -> None:
    page = open_page()
    page.page.get_by_text("What each variation sets").click()
    page.see("combinations")
    blocks = page.page.get_by_test_id("stExpander").first.get_by_test_id("stCode")
    shape = form.read(metas.OURS)
    expected = [labels.details(group.choices, group.default) for group in shape.groups]
    expected += [labels.details((*shape.switches, *shape.values)), labels.details(shape.together)]
    blocks.nth(len(expected) - 1).wait_for()
    shown = [text.replace("\xa0", " ").rstrip() for text in blocks.all_inner_texts()]
    assert shown == expected


def test_the_command_for_mlc(
    open_page: Open, user: CM, origin: Origin, served: dict[str, Path], tmp_path: Path
) -> None:
    """MLC is in the environment of the page; its user copies the command, and has the file."""
    page = open_page()
    page.choose("framework", "pytorch")
    page.wait_for_command("_pytorch")
    page.type("to", "my models")
    page.wait_for_command("my models")
    tabs = page.page.get_by_role("tab").all_inner_texts()
    assert [tab.strip() for tab in tabs] == ["cm", "cmr", "Python", "docker", "mlcr"]
    copied = page.command("mlcr")
    assert copied == "mlcr get,ml-model,resnet50,_pytorch '--to=my models' --quiet"
    mlc = MLC(user.installation, tmp_path / "mlc-home", tmp_path / "MLC", origin)
    assert mlc.command("cmx-resnet50", "mlc", "add").ok
    result = mlc.command(*shlex.split(copied))
    assert result.ok, result.text
    (file,) = (mlc.cwd / "my models").iterdir()
    assert file.read_bytes() == delivered(served["pytorch-fp32"])


def test_a_script_of_cm_alone_has_no_command_for_mlc(open_page: Open) -> None:
    page = open_page(script="get,python3")
    tabs = page.page.get_by_role("tab")
    tabs.first.wait_for()
    assert [tab.strip() for tab in tabs.all_inner_texts()] == ["cm", "cmr", "Python", "docker"]


def test_a_command_is_copied_with_keys(open_page: Open) -> None:
    page = open_page(script="get,ml-model,resnet50,_tf")
    page.run_button.wait_for()
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name in ("cm", "cmr", "Python", "docker"):
        expected = page.command(name)
        copy = page.panel.get_by_role("button", name="Copy to clipboard")
        # In sight also where no mouse hovers.
        page.page.mouse.move(0, 0)
        assert copy.is_visible()
        assert copy.evaluate("e => e.checkVisibility({opacityProperty: true})")
        page.panel.get_by_test_id("stCode").focus()
        page.page.keyboard.press("Tab")
        page.page.keyboard.press("Enter")
        page.page.wait_for_function(
            "text => navigator.clipboard.readText().then(copied => copied.trim() === text)",
            arg=expected,
        )


def test_a_choice_changes_the_default_of_another_group(open_page: Open) -> None:
    page = open_page()
    page.see("With onnx the default is opset-11.")
    page.choose("framework", "tflite")
    page.see("tflite-argmax")
    assert "With onnx" not in page.text()
    chosen = page.page.locator("input[type=radio]:checked")
    assert chosen.count() == len(page.page.get_by_role("radiogroup").all())


def test_random_weights_and_all_that_is_exported(open_page: Open) -> None:
    page = open_page(script="get ml-model resnet50 _ncnn")
    page.see("ncnn")
    page.switch("dummy-weights")
    page.see("The weights are random")
    page.wait_for_command("_dummy-weights")
    page.run()
    path = Path(page.exported(PATH))
    assert path.name == "resnet50_v1.bin"
    assert path.stat().st_size > 100_000_000
    page.page.get_by_text(re.compile(r"^Exported variables \(\d+\)$")).click()
    page.see("CM_ML_MODEL_SHA256=")
    block = page.page.get_by_test_id("stCode").filter(has_text="CM_ML_MODEL_SHA256=")
    lines = block.inner_text().splitlines()
    assert lines[0] == f"{PATH}={path}"
    assert "CM_ML_MODEL_FRAMEWORK=ncnn" in lines
    page.page.get_by_text("Log", exact=True).click()
    page.see("ResNet-50: ")


def test_a_refused_choice_offers_the_nearest(open_page: Open, origin: Origin) -> None:
    page = open_page()
    page.choose("framework", "pytorch")
    page.wait_for_command("_pytorch")
    page.choose("precision", "uint8")
    page.see("No ResNet-50 file exists for _pytorch,_uint8.")
    page.can_run(False)
    assert page.page.get_by_test_id("stCode").filter(visible=True).count() == 0
    page.page.get_by_role("button", name="_pytorch,_int8", exact=True).click()
    page.see("resnet50_INT8bit_quantized.pt")
    assert page.wait_for_command("_pytorch,_int8")
    page.can_run(True)
    assert not origin.requests


@pytest.mark.parametrize(
    ("script", "label"), [("get,ml-model,resnet50", "to"), ("get,generic-python-lib", "")]
)
def test_hostile_values_do_nothing(open_page: Open, user: CM, script: str, label: str) -> None:
    canary = user.home / "canary"
    page = open_page(script=script)
    page.run_button.wait_for()
    if not label:
        page.page.get_by_text("Inputs that the script does not describe").click()
        label = "extra_index_url"
    for value in (
        f"$(touch {canary})",
        f"`touch {canary}`",
        f'"; touch {canary}; "',
        f"x; touch {canary}",
        f"x & touch {canary}",
    ):
        page.type(label, value)
        page.see(f"--{label} contains")
        page.can_run(False)
        page.type(label, "harmless")
        page.page.get_by_role("tab", name="cm", exact=True).wait_for()
    assert not canary.exists()


def test_odd_but_harmless_values_arrive_as_they_are(open_page: Open, user: CM) -> None:
    page = open_page(script="get,ml-model,resnet50,_pytorch")
    folder = user.home / "it's #1 {a,b} * ~ Gerät"
    page.type("to", str(folder))
    command = page.wait_for_command("--to=")
    assert f"--to={folder}" in shlex.split(command)
    page.run()
    assert page.exported(PATH) == str(folder / "resnet50-19c8e357.pth")
    assert [file.name for file in folder.iterdir()] == ["resnet50-19c8e357.pth"]


def runs_of(user: CM) -> list[str]:
    """Return the command lines of the runs that a page of `user` has started."""
    return [line for line in processes_with("cmind run script") if str(user.home) in line]


@pytest.mark.parametrize("how", ["button", "ctrl-c"])
def test_a_stopped_run_leaves_nothing(open_page: Open, user: CM, origin: Origin, how: str) -> None:
    for url in (ARTIFACTS["pytorch-fp32"].url, *ARTIFACTS["pytorch-fp32"].mirrors):
        origin.fail(url, faults.Trickle(2000))
    page = open_page(script="get,ml-model,resnet50,_pytorch")
    page.run_button.click()
    page.see(" MB) from ")
    page.can_run(False)
    assert runs_of(user)
    if how == "button":
        page.page.get_by_role("button", name="Stop", exact=True).click()
        page.see("Stopped after")
        page.can_run(True)
    else:
        assert page.interrupt() == 0
    assert not runs_of(user)


def test_the_end_of_a_log_is_in_sight(open_page: Open, user: CM) -> None:
    """While it grows, and once the run has failed."""
    program, go = user.home / "talk.py", user.home / "go"
    program.write_text(
        "import os, sys, time\n"
        "for n in range(200): print('line', n, flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.1)\n"
        "for n in range(200): print('further', n, flush=True)\n"
        "sys.exit('the end')\n"
    )
    page = open_page(f"--prefix=python3 {program}", script="detect,os")
    page.run_button.click()
    in_sight = """text => {
      const code = [...document.querySelectorAll('[data-testid=stCode]')].at(-1);
      let box = code;
      while (box && box.clientHeight >= code.clientHeight) box = box.parentElement;
      if (!box) return false;
      const below = box.scrollHeight - box.scrollTop - box.clientHeight;
      return code.innerText.trim().endsWith(text) && below < 40;
    }"""
    page.page.wait_for_function(in_sight, arg="line 199")
    go.touch()
    page.see("with exit code 1")
    page.page.wait_for_function(in_sight, arg="the end")


def test_what_a_choice_means_stays_in_sight(open_page: Open) -> None:
    page = open_page(script="run-mlperf,inference,reference")
    page.run_button.wait_for()
    page.page.get_by_test_id("stMain").evaluate("e => e.scrollTo(0, e.scrollHeight)")
    last = page.page.get_by_role("textbox").last
    page.page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop > 1000")
    for seen in (last, page.run_button, page.panel.get_by_test_id("stCode")):
        box = seen.bounding_box()
        assert box is not None
        assert 0 <= box["y"] <= 900 - box["height"]


def test_a_run_shows_how_far_it_is(open_page: Open, origin: Origin) -> None:
    for url in (ARTIFACTS["pytorch-fp32"].url, *ARTIFACTS["pytorch-fp32"].mirrors):
        origin.fail(url, faults.Trickle(8000))
    page = open_page(script="get,ml-model,resnet50,_pytorch")
    page.run_button.click()
    page.page.get_by_text(re.compile(r"^Running, [1-9][0-9]?%$")).wait_for()
    page.page.get_by_role("button", name="Stop", exact=True).click()
    page.see("Stopped after")


def test_a_failed_run_says_why(open_page: Open, origin: Origin) -> None:
    page = open_page(script="get,ml-model,resnet50,_pytorch")
    page.choose("offline", "yes")
    page.wait_for_command("--offline=yes")
    page.see("no; offline mode prevents the download")
    page.run_button.click()
    page.see("with exit code 1")
    page.see("offline mode is on")
    assert not origin.requests


def test_another_script(open_page: Open) -> None:
    page = open_page(script="get,python3")
    page.heading("get-python3").wait_for()
    assert page.wait_for_command("get,python3") == "cm run script --tags=get,python3 --quiet"
    page.switch("shared")
    page.wait_for_command("_shared")
    assert "File\n" not in page.text()


def test_without_a_script_one_is_picked(open_page: Open) -> None:
    page = open_page(script="")
    page.heading("CM scripts").wait_for()
    field = page.page.get_by_role("combobox")
    field.click()
    field.fill("detect-os")
    page.page.get_by_role("option", name="detect-os", exact=True).click()
    assert page.wait_for_command("detect-os") == "cm run script detect-os --quiet"
