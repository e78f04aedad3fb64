"""CM's hooks of ``get-ml-model-resnet50``: they translate CM's dictionaries, and decide nothing.

The engine imports this file on a hit too, before it looks the request up, and calls nothing in
it: the library, and pathlib, are imported by the hooks. Only the lock on look-ups is taken here,
because no hook is called before one (`turns`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cmx_resnet50.cached_run import run_lock

CmDict = dict[str, Any]
DOWNLOADER = "model-downloader"

run_lock.enter()


def _answer(hook: Callable[[CmDict], CmDict]) -> Callable[[CmDict], CmDict]:
    """Turn errors of the library into CM's way of saying them."""

    def guarded(i: CmDict) -> CmDict:
        from cmx_resnet50.errors import INTERRUPTED, Resnet50Error

        try:
            return hook(i)
        except BaseException as error:
            run_lock.end(i["run_script_input"])
            if isinstance(error, KeyboardInterrupt):
                return {"return": 130, "error": INTERRUPTED}
            if isinstance(error, Resnet50Error):
                return {"return": 1, "error": str(error)}
            raise

    return guarded


@_answer
def predeps(i: CmDict) -> CmDict:
    """Check values and the request before any shell script is written."""
    from cmx_resnet50.engines import env_run
    from cmx_resnet50.options import Options

    env = i["env"]
    const = i["run_script_input"].get("const", {})
    seen = {**env, **const}
    env_run.check_values(seen, i["meta"]["checked_env_keys"])
    # The engine has gone into the cache entry since: relative to it, nobody names a file.
    env[env_run.LOCAL] = seen[env_run.LOCAL] = env_run.local_file(seen, env["CM_TMP_CURRENT_PATH"])
    options = Options.read(seen)
    resolution = env_run.resolve(env_run.request_of(seen, const, i["variation_tags"]), options)
    env_run.say_notes(env, [*resolution.notes, *resolution.remarks])
    if options.skip_tensorflow:
        env["CM_RESNET50_SKIP_TENSORFLOW"] = "yes"
    env[env_run.ENTRY] = "" if i["input"].get("skip_cache") else os.getcwd()  # noqa: PTH109
    run_lock.begin(i["run_script_input"]).take()
    return {"return": 0}


@_answer
def preprocess(i: CmDict) -> CmDict:
    """Obtain the file, fill the entry's place, and let the downloader take it from there."""
    from pathlib import Path

    from cmx_resnet50.engines import env_run

    env, const, options, resolution = _asked(i)
    env[env_run.OUTPUT] = env_run.output_folder(env, env["CM_TMP_CURRENT_PATH"])
    env.pop("CM_OUTDIRNAME", None)
    entry = Path(env[env_run.ENTRY] or options.store / "places" / "uncached")
    entry.mkdir(parents=True, exist_ok=True)
    # Engine and downloader leave files of their own in the working folder: not in the
    # user's output folder, where the engine has just gone.
    os.chdir(entry)
    if _silent(i):
        env["CM_QUIET"] = "yes"
    env[env_run.PLACE] = str(entry / "model" / resolution.artifact.file)
    tool = env_run.tool_for(resolution, _tools(i), options)
    declared = env_run.declared_tool(resolution)
    if declared and tool != declared:
        _leave_out(i, declared)
    if tool:
        env.update(env_run.for_downloader(resolution))
    else:
        turn = run_lock.of(i["run_script_input"])
        turn.pause()
        delivery = env_run.prepare(env, const, resolution, options, silent=_silent(i))
        turn.take()
        i["run_script_input"]["cmx_resnet50"] = delivery
        if env_run.needs_script(resolution, delivery, options):
            env_run.for_script(env, resolution)
            i["run_script_input"]["script_name"] = "run-fix-input"
        else:
            turn.hold_look_ups()
    return {"return": 0}


@_answer
def postprocess(i: CmDict) -> CmDict:
    """Check what another tool fetched, make the shape true, and export what the file is."""
    from pathlib import Path

    from cmx_resnet50.engines import env_run

    env, const, options, resolution = _asked(i)
    run_lock.leave()
    delivery = i["run_script_input"].pop("cmx_resnet50", None)
    if delivery is None:
        delivery = env_run.adopt(env, resolution, options)
    delivery = env_run.complete(env, delivery, options, silent=_silent(i))
    env_run.finish(env, delivery)
    # The entry itself is what must exist: a lost file inside is repaired, not a reason to
    # leave this entry behind and make a second one.
    env["CM_GET_DEPENDENT_CACHED_PATH"] = env[env_run.ENTRY]
    env["CM_DOWNLOAD_PATH"] = str(Path(env[env_run.PLACE]).parent)
    tags = [f"_{name}" for name in env_run.equal_variations(delivery.resolution)]
    if delivery.private:
        # An entry that stays unfinished answers nobody, also not the script that we replace.
        tags.append("tmp")
    if not env[env_run.OUTPUT]:
        # Here rather than in a run of the ensure script: the engine takes longer to begin one
        # than the look takes. Into an output folder goes what that script exports, last.
        line = env_run.ensure(env, const, silent=_silent(i))
        env[env_run.ENSURED] = "yes"
        if not _silent(i):
            print(line, flush=True)
    run_lock.of(i["run_script_input"]).hold_look_ups()
    return {"return": 0, "add_extra_cache_tags": tags}


def _asked(i: CmDict) -> tuple[CmDict, CmDict, Any, Any]:
    """Return env, const, the options and what the request means."""
    from cmx_resnet50.engines import env_run
    from cmx_resnet50.options import Options

    env = i["env"]
    const = i["run_script_input"].get("const", {})
    options = Options.read({**env, **const})
    request = env_run.request_of(env, const, i["variation_tags"])
    return env, const, options, env_run.resolve(request, options)


def _tools(i: CmDict) -> list[str]:
    """Name the download tools that the user or a variation asked for."""
    asked = i["run_script_input"].get("add_deps_recursive", {}).get(DOWNLOADER, {})
    return [tag for tag in str(asked.get("tags", "")).split(",") if tag.startswith("_")]


def _leave_out(i: CmDict, tool: str) -> None:
    """Let the downloader do without `tool`, which the engine would install for nothing."""
    for dependency in i["meta"]["prehook_deps"]:
        if DOWNLOADER in dependency.get("names", ()):
            tags = [tag for tag in dependency["tags"].split(",") if tag != tool]
            dependency["tags"] = ",".join(tags)


def _silent(i: CmDict) -> bool:
    given = (str(i["input"].get(name, "")).lower() for name in ("silent", "s"))
    return any(value in ("true", "yes", "on") for value in given)
