"""``cmx-resnet50 doctor``: what it finds in real installations, and what ``--fix`` repairs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.harness import build
from tests.harness.cm import CLOSED, CM, Result
from tests.harness.faults import Status
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

TAGS = "get,ml-model,resnet50"
SECRETS = {
    "HTTPS_PROXY": "http://anna:p4ssw0rd@127.0.0.1:9",
    "https_proxy": "http://anna:p4ssw0rd@127.0.0.1:9",
    "CM_RESNET50_MIRROR": "https://anna:p4ssw0rd@mirror.example.com/m?token=s3cr3t",
}


def doctor(user: CM, *options: str, **more: Any) -> Result:
    return user.command("cmx-resnet50", "doctor", *options, **more)


def findings(user: CM, *options: str, **more: Any) -> tuple[dict[str, Any], Result]:
    done = doctor(user, "--json", *options, **more)
    assert "Traceback" not in done.err, done.text
    said: dict[str, Any] = json.loads(done.out)
    wrong = [finding for finding in said["findings"] if not finding["ok"]]
    assert (done.code, said["sound"]) == ((1, False) if wrong else (0, True)), done.text
    assert all(finding["what"] for finding in said["findings"])
    assert all(finding["why"] and finding["fix"] for finding in wrong if finding["fix"])
    return said, done


def wrong(said: dict[str, Any], area: str) -> list[dict[str, Any]]:
    return [one for one in said["findings"] if one["area"] == area and not one["ok"]]


def texts(said: dict[str, Any], area: str) -> str:
    return "\n".join(one["what"] for one in said["findings"] if one["area"] == area)


def test_a_sound_installation(cm: CM) -> None:
    done = doctor(cm)
    assert done.ok, done.text
    assert "WRONG" not in done.out and done.out.rstrip().endswith("sound")
    assert f"{TAGS} is answered by {cm.installation.script}" in done.out
    assert "CM: CM's index is fresh" in done.out
    for name in ("cmind", "cmx4mlops", "mlcflow", "Python"):
        assert f": {name} " in done.out


def test_nothing_is_made_where_cm_was_never_used(new_cm: Any) -> None:
    user = new_cm("new", fresh=True)
    said, done = findings(user)
    assert said["sound"], done.text
    assert "not used yet" in texts(said, "CM")
    assert not user.repos.exists()


def test_an_index_of_another_installation(new_cm: Any, cm: CM, upstream: Any) -> None:
    old = new_cm("old", upstream)
    assert old.run("reindex", "repo").ok
    user = cm.also(repos=old.repos)
    said, _ = findings(user)
    assert {one["fix"] for one in wrong(said, "CM")} == {"cm reindex repo"}
    assert user.run("reindex", "repo").ok
    assert findings(user)[0]["sound"]


def test_the_split_installation(tmp_path: Path, wheel: Path, origin: Origin) -> None:
    """cmx4mlops is in a later entry of sys.path, as in a user site below a virtual environment."""
    made = build.install(tmp_path / "environment", wheel)
    build.write_metas_as_json(made)
    later = tmp_path / "later"
    later.mkdir()
    shutil.move(made.site_packages / "cmx4mlops", later / "cmx4mlops")
    (made.site_packages / "later.pth").write_text(f"{later}\n")
    user = CM(made, tmp_path / "home", tmp_path / "CM", origin)
    assert user.run("reindex", "repo").ok
    other = tmp_path / "other"
    (other / "script").mkdir(parents=True)
    (other / "cmr.yaml").write_text("alias: other\nuid: aaaabbbbccccdddd\n")
    assert user.run("import", "repo", f"--path={other}").ok
    listed = user.repos / "repos.json"
    before = json.loads(listed.read_text())
    assert str(other) in before

    said, done = findings(user)
    fixes = {one["fix"] for one in wrong(said, "CM")}
    assert fixes == {"cmx-resnet50 doctor --fix"}, done.text
    assert str(later) in texts(said, "CM")
    assert json.loads(listed.read_text()) == before

    fixed = doctor(user, "--fix")
    assert fixed.ok, fixed.text
    assert f"wrote {listed}: " in fixed.out
    after = json.loads(listed.read_text())
    assert [path for path in after if path in before] == before
    package = str(made.site_packages / "cmx_resnet50")
    rival = next(path for path in after if path.startswith(str(later)))
    assert after.index(package) < after.index(rival), after
    found = user.run("find", "script", f"--tags={TAGS}")
    assert package in found.out and str(later) not in found.out
    again = doctor(user, "--fix")
    assert again.ok and "nothing to fix" in again.out
    assert json.loads(listed.read_text()) == after


@pytest.mark.parametrize("cut", ["state", "meta"])
def test_a_cut_file_of_an_entry_is_named_with_its_cure(engine: CM, cut: str) -> None:
    assert engine.get("onnx").ok
    (entry,) = engine.cache_entries(TAGS)
    names = {"state": f"{engine.program}-cached-state.json", "meta": "_cm.json"}
    file = entry / ("meta.json" if (engine.program, cut) == ("mlc", "meta") else names[cut])
    file.write_bytes(file.read_bytes()[:40])
    # MLC makes another entry in place of one that it cannot read.
    assert engine.get("onnx").ok == (file.name == "meta.json")
    said, _ = findings(engine)
    (found,) = wrong(said, engine.program.upper())
    assert str(entry) in found["what"] and file.name in found["what"]
    assert engine.command("/bin/sh", "-c", found["fix"]).ok
    assert engine.get("onnx").ok
    assert findings(engine)[0]["sound"]


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", "[" * 100_000])
def test_a_broken_list_is_a_finding_and_stays(cm: CM, content: str) -> None:
    listed = cm.repos / "repos.json"
    listed.write_text(content)
    said, _ = findings(cm)
    assert wrong(said, "CM")
    fixed = doctor(cm, "--fix")
    assert fixed.code == 1 and "Traceback" not in fixed.err, fixed.text
    assert listed.read_text() == content


def test_an_entry_of_any_content_stops_neither_a_run_nor_doctor(cm: CM) -> None:
    """Other scripts write entries, too."""
    hostile = ['{"tags": null}', '{"tags": 7}', '{"tags": [[1], {}]}', "[]"]
    hostile += ['{"uid": "0123456789abcdef", "tags": ["resnet50"]}']
    for number, content in enumerate(hostile):
        entry = cm.cache / f"0123456789abcd{number:02}"
        entry.mkdir(parents=True)
        (entry / "_cm.json").write_text(content)
        (entry / "cm-cached-state.json").write_text("[" * 100_000)
    entry = cm.cache / "0123456789abcdff"
    entry.mkdir()
    os.mkfifo(entry / "_cm.json")
    said, done = findings(cm)
    assert "Traceback" not in done.err and "Error:" not in str(said), said


def test_mlc_that_knows_our_script(mlc: MLC) -> None:
    said, done = findings(mlc)
    assert not wrong(said, "MLC"), done.text
    assert f"{TAGS} is answered by {mlc.installation.site_packages}" in texts(said, "MLC")


def test_mlc_that_does_not_know_our_script(mlc: MLC) -> None:
    assert mlc.command("cmx-resnet50", "mlc", "remove").ok
    theirs = mlc.home / "theirs"
    (theirs / "script").mkdir(parents=True)
    (theirs / "meta.yaml").write_text("alias: theirs\nuid: bbbbccccddddeeee\n")
    assert mlc.command("mlc", "add", "repo", str(theirs)).ok
    said, _ = findings(mlc)
    assert {one["fix"] for one in wrong(said, "MLC")} == {"cmx-resnet50 mlc add"}
    assert mlc.command("cmx-resnet50", "mlc", "add").ok
    assert not wrong(findings(mlc)[0], "MLC")


def test_no_secret_is_printed(cm: CM) -> None:
    for options in ((), ("--json",), ("--json", "--online")):
        done = doctor(cm, *options, env=SECRETS, timeout=200)
        assert "mirror.example.com" in done.out
        assert "127.0.0.1:9" in done.out
        assert not any(secret in done.out + done.err for secret in ("p4ssw0rd", "s3cr3t"))


def test_settings_that_cannot_work(cm: CM, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    for env, area, text in (
        ({"HTTPS_PROXY": "http://a b:1", "https_proxy": "http://a b:1"}, "network", "proxy"),
        ({"REQUESTS_CA_BUNDLE": "/no/such.pem"}, "network", "/no/such.pem"),
        ({"CM_RESNET50_MIRROR": "gopher://x/y"}, "options", "gopher"),
        ({"CM_RESNET50_STORE": str(tmp_path / "mine")}, "store", "letter"),
        ({"CM_RESNET50_OFFLINE": "perhaps"}, "options", "must be yes or no"),
    ):
        said, done = findings(cm, env=env)
        found = wrong(said, area)
        assert text in found[0]["what"], (env, done.text)


def test_online_asks_each_source_for_its_first_bytes(cm: CM, origin: Origin) -> None:
    said, done = findings(cm, "--online")
    assert said["sound"], done.text
    asked = [record for record in origin.requests if "range" in record.headers]
    assert asked and all(record.headers["range"] == "bytes=0-511" for record in asked)
    answered = [one for one in said["findings"] if "sends its first bytes" in one["what"]]
    assert len(answered) > 10


def test_online_names_the_source_that_fails(cm: CM, origin: Origin) -> None:
    (url, *_) = [
        one["what"].split()[0]
        for one in findings(cm, "--online")[0]["findings"]
        if "sends its first bytes" in one["what"]
    ]
    origin.fail(url, *[Status(404)] * 9)
    said, _ = findings(cm, "--online")
    (found,) = wrong(said, "network")
    assert url in found["what"] and "HTTP 404" in found["what"]


def test_without_online_no_socket_is_opened(cm: CM, origin: Origin) -> None:
    assert doctor(cm, env={"HTTPS_PROXY": CLOSED, "https_proxy": CLOSED}).ok
    assert not origin.requests
