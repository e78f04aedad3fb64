"""What ``cm gui`` is told, and the command line of Streamlit that follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.gui import server
from cmx_resnet50.gui.server import Settings
from cmx_resnet50.shell_values import UnsafeValue
from tests.gui import metas

PAGE = Path("folder") / "page.py"
META: dict[str, Any] = json.loads((metas.ROOT / "gui" / "_cm.json").read_text(encoding="utf-8"))


def told(**inputs: str) -> Settings:
    """Read settings from inputs, named as on the command line."""
    return Settings.read({META["input_mapping"][key]: value for key, value in inputs.items()})


def test_the_inputs_are_those_of_the_script_that_it_replaces() -> None:
    (upstream,) = (a.meta for a in metas.upstream() if a.meta["uid"] == META["uid"])
    mapping = {k: v for k, v in upstream["input_mapping"].items() if not k.startswith("exp_")}
    assert META["input_mapping"] == mapping
    assert META["tags"] == upstream["tags"]
    assert META["alias"] == upstream["alias"]
    assert set(META["input_description"]) == set(META["input_mapping"])


def test_defaults() -> None:
    settings = told()
    assert settings == Settings()
    assert settings.address == "127.0.0.1"
    assert settings.is_private


def test_settings_reach_the_page_whole() -> None:
    settings = told(
        script="get,ml-model,resnet50,_pytorch",
        title="It's & <b>bold</b> é",
        prefix="nice -n '1 0'",
        no_run="True",
        no_browser="yes",
        port="8599",
        address="0.0.0.0",
        app="app",
    )
    assert settings.prefix == ("nice", "-n", "1 0")
    assert settings.no_run and settings.no_browser and not settings.is_private
    assert Settings.from_argument(server.command(settings, PAGE)[-1]) == settings


def test_streamlit_is_told_to_keep_to_itself() -> None:
    command = server.command(told(), PAGE)
    assert command[1:5] == ["-m", "streamlit", "run", str(PAGE)]
    for flag in (
        "--server.address=127.0.0.1",
        "--server.enableXsrfProtection=true",
        "--server.enableCORS=true",
        "--browser.gatherUsageStats=false",
        "--server.fileWatcherType=none",
        "--server.headless=true",
        "--logger.hideWelcomeMessage=true",
        "--server.allowedHosts=localhost",
    ):
        assert flag in command
    assert not [flag for flag in command if flag.startswith("--server.port")]
    assert "--server.port=8599" in server.command(told(port="8599"), PAGE)


def test_an_open_page_takes_any_host_name() -> None:
    command = server.command(told(address="0.0.0.0"), PAGE)
    assert not [flag for flag in command if "allowedHosts" in flag]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "80 --server.x=1", "must be a number from 1 to 65535"),
        ("port", "0", "must be a number from 1 to 65535"),
        ("port", "65536", "must be a number from 1 to 65535"),
        ("port", "٣", "must be a number from 1 to 65535"),
        ("address", "1.2.3.4 --x", "must be an IP address or a host name"),
        ("address", "--x", "must be an IP address or a host name"),
        ("no_run", "maybe", "must be yes or no"),
        ("prefix", "a 'b", "No closing quotation"),
        ("app", "playground", "the only one is app"),
    ],
)
def test_what_means_nothing_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(Resnet50Error, match=said):
        told(**{name: value})


@pytest.mark.parametrize("name", sorted(META["input_mapping"]))
@pytest.mark.parametrize("value", ["$(id)", "`id`", 'a"b', "a\\", "a\nb"])
def test_what_a_shell_would_act_on_is_refused(name: str, value: str) -> None:
    with pytest.raises(UnsafeValue, match=META["input_mapping"][name]):
        told(**{name: value})


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "0.0.0.0", "::", "node-1.example"]
)
def test_addresses(address: str) -> None:
    settings = told(address=address)
    assert settings.address == address
    assert settings.is_private is (address[:3] in ("127", "::1", "loc"))


def test_one_version_of_streamlit_is_asked_for_everywhere() -> None:
    """Else the extra brings one that the first start puts another in place of."""
    wanted = ".".join(map(str, server.STREAMLIT))
    (dependency,) = META["deps"]
    assert dependency["version_min"] == f"{wanted}.0"
    project = (metas.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\ngui = ["streamlit>={wanted}"]\n' in project
