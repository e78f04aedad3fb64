"""The page in a real browser, started as users start it: ``cmr "cm gui"``."""

from __future__ import annotations

import ast
import http.client
import importlib.util
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from cmx_resnet50.gui import form, labels
from tests.gui import metas
from tests.gui.browser import Shown
from tests.gui.conftest import processes_with
from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.harness.waiting import HANGS

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


def test_no_run_shows_and_runs_nothing(open_page: Open) -> None:
    page = open_page("--no_run=yes", "--title=Only to look at")
    page.heading("Only to look at").wait_for()
    page.see("Running is disabled")
    assert page.run_button.count() == 0
    assert page.command() == "cm run script --tags=get,ml-model,resnet50 --quiet"


def test_a_browser_opens_by_itself(open_page: Open, user: CM) -> None:
    programs = user.home / "programs"
    programs.mkdir()
    (programs / "xdg-open").write_text(f'#!/bin/sh\necho "$1" >> {programs}/opened\n')
    (programs / "xdg-open").chmod(0o755)
    path = {"PATH": f"{programs}{os.pathsep}{user.environment()['PATH']}"}
    page = open_page("--no_browser=no", script="detect,os", env=path)
    page.heading("detect-os").wait_for()
    # A file that only this user can read: what a program is given, everybody can.
    opened = Path(url2pathname(urlsplit((programs / "opened").read_text().strip()).path))
    assert f'"0;url={page.url}"' in opened.read_text()
    assert opened.parent.stat().st_mode & 0o077 == 0
    assert not processes_with(page.url.partition("=")[2])
    page.page.unroute_all(behavior="ignoreErrors")
    assert page.interrupt() == 0
    assert not opened.parent.exists()
    (programs / "opened").unlink()
    open_page(script="detect,os", env=path).heading("detect-os").wait_for()
    assert not (programs / "opened").exists()


def test_a_prefix_runs_the_command(open_page: Open, user: CM) -> None:
    seen = user.home / "seen"
    page = open_page(f"--prefix=env CM_SEEN={seen} nice -n 3", script="detect,os")
    page.run_button.click()
    page.see("Done in")
    page.page.get_by_text(re.compile(r"^Exported variables \(\d+\)$")).click()
    page.see("CM_HOST_OS_TYPE=linux")
    assert page.command() == "cm run script --tags=detect,os --quiet"


def test_a_phone_needs_no_sideways_scrolling(open_page: Open) -> None:
    page = open_page(script="get,ml-model,resnet50,_pytorch", size=(360, 780))
    page.run_button.wait_for()
    assert page.overflow() <= 0
    page.page.get_by_text("What each variation sets").click()
    page.see("CM_PACKAGE_URL=")
    assert page.overflow() <= 0
    for name in ("cmr", "Python", "docker", "cm"):
        page.command(name)
        assert page.overflow() <= 0
    page.run()
    page.exported(PATH)
    page.page.get_by_text("Log", exact=True).click()
    assert page.overflow() <= 0


def test_a_phone_shows_the_result_before_the_form(open_page: Open) -> None:
    """What a choice means, and the button that runs it, without scrolling."""
    page = open_page(script="get,ml-model,resnet50,_pytorch", size=(390, 844))
    page.see("pytorch-fp32")
    form_top = page.heading("Variations").bounding_box()
    assert form_top is not None
    for seen in (page.see("pytorch-fp32"), page.run_button):
        box = seen.bounding_box()
        assert box is not None
        assert 0 <= box["y"] <= 844 - box["height"]
        assert box["y"] < form_top["y"]


def test_streamlit_need_not_be_in_site_packages(open_page: Open, tmp_path: Path) -> None:
    """As with ``pip install --target``: there Streamlit is in its development mode by default."""
    found = importlib.util.find_spec("streamlit")
    assert found is not None and found.origin is not None
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "streamlit").symlink_to(Path(found.origin).parent)
    page = open_page(script="detect,os", env={"PYTHONPATH": str(tmp_path / "elsewhere")})
    page.heading("detect-os").wait_for()


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=str)
def test_axe_finds_nothing(open_page: Open, size: tuple[int, int]) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    page = open_page(size=size)
    page.see("onnx-opset-11")
    page.run_button.wait_for()
    for _ in range(2):
        found = axe.Axe().run(page.page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        page.choose("framework", "ncnn")
        page.page.get_by_role("radio", name="uint8").locator("xpath=ancestor::label").click()
        page.see("No ResNet-50 file exists")


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_page()
    page.run_button.wait_for()
    keyboard = page.page.keyboard
    focused = "document.activeElement.closest('[role=radiogroup]')?.getAttribute('aria-label')"
    for _ in range(30):
        if page.page.evaluate(focused) == "framework":
            break
        keyboard.press("Tab")
    else:
        pytest.fail("no key leads to the frameworks")
    for key, name in (("Right", "pytorch"), ("Right", "tensorflow"), ("Left", "pytorch")):
        keyboard.press(f"Arrow{key}")
        page.panel.get_by_text(f"_{name}").wait_for()
    for _ in range(60):
        if page.page.evaluate("document.activeElement.innerText") == "Run":
            break
        keyboard.press("Tab")
    keyboard.press("Enter")
    page.see("Done in")
    assert page.exported(PATH).endswith("resnet50-19c8e357.pth")


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


def test_a_stranger_gets_no_connection(open_page: Open) -> None:
    page = open_page()
    port = urlsplit(page.url).port
    assert port is not None

    def connect(host: str, origin: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS)
        headers = {
            "Host": host,
            "Origin": origin,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        connection.request("GET", "/_stcore/stream", headers=headers)
        return connection.getresponse().status

    own = f"127.0.0.1:{port}"
    assert connect(own, f"http://{own}") == 101
    assert connect(own, "http://elsewhere.example") == 403
    assert connect(f"elsewhere.example:{port}", f"http://elsewhere.example:{port}") == 403


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong"])
def test_without_the_token_there_is_no_page(open_page: Open, query: str) -> None:
    page = open_page()
    page.run_button.wait_for()
    page.see(f"Listening on {urlsplit(page.url).netloc}, this machine only.")
    stranger = Shown(page.page.context.new_page(), page.url.partition("?")[0] + query)
    stranger.see("The token is missing or wrong.")
    assert "resnet50" not in stranger.text()
    assert stranger.page.get_by_role("button").count() == 0


def test_an_open_page_answers_as_no_other_host(open_page: Open) -> None:
    """A web site whose name was made to lead here, even if it knew the token."""
    page = open_page("--address=0.0.0.0", "--no_run")
    page.see("reachable from other machines")
    elsewhere = page.url.replace("127.0.0.1", "elsewhere.example")
    stranger = Shown(page.page.context.new_page(), elsewhere)
    stranger.see("This page does not answer as elsewhere.example.")
    assert "resnet50" not in stranger.text()


def test_only_this_machine_can_connect(open_page: Open) -> None:
    port = urlsplit(open_page().url).port
    listening = {
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    }
    assert listening == {f"0100007F:{port:04X}"}
