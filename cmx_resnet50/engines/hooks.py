"""The hooks that an engine calls on a run, over its dialect; errors become the engine's answers.

All engines hand over the same dictionary `i`: ``env``, ``meta``, ``input``, ``variation_tags``, and
``run_script_input``, which lives as long as the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmx_resnet50.cached_run import receipt, run_lock
from cmx_resnet50.catalog.request import Resolution
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.engines import downloader, entry, env_run
from cmx_resnet50.engines.dialect import OPTION, Dialect, EnvView
from cmx_resnet50.engines.env_request import (
    LOCAL,
    check_values,
    local_file,
    options_of,
    output_folder,
    request_of,
    secret_notices,
)
from cmx_resnet50.engines.input_check import check_flags, check_input
from cmx_resnet50.engines.json_output import keep_stdout_free
from cmx_resnet50.errors import INTERRUPTED, Resnet50Error
from cmx_resnet50.options import Options, flag

Hook = dict[str, Any]
_DELIVERY = "cmx_resnet50"
"""Where `preprocess` leaves what it delivered, in ``run_script_input``, for `postprocess`."""


class Hooks:
    """The hooks of the script, and of the script that ensures hits, under one engine."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def predeps(self, i: Hook) -> Hook:
        """Check values and the request before any shell script is written."""
        return self._answer(self._predeps, i)

    def preprocess(self, i: Hook) -> Hook:
        """Obtain the file and fill the entry's place, or let the user's download tool fetch it."""
        return self._answer(self._preprocess, i)

    def postprocess(self, i: Hook) -> Hook:
        """Check what another tool fetched, make the batch true, and export what the file is."""
        return self._answer(self._postprocess, i)

    def ensure(self, i: Hook) -> Hook:
        """Check object and placements, repair them, and export where the model is for this run."""
        return self._answer(self._ensure, i)

    def _answer(self, hook: Callable[[Hook], Hook], i: Hook) -> Hook:
        """Turn errors of the library into the engine's way of reporting them."""
        mine = entry.of(i)
        try:
            if mine is not None:
                mine.restore()
            answer = hook(i)
            if mine is not None:
                mine.restore()
            return answer
        except BaseException as error:
            run_lock.end(i["run_script_input"])
            if isinstance(error, OSError) and mine is not None and mine.is_gone():
                error = mine.removed()
            if mine is not None:
                mine.end()
            if isinstance(error, KeyboardInterrupt):
                return {"return": 130, "error": INTERRUPTED}
            if isinstance(error, Resnet50Error):
                return {"return": 1, "error": self.dialect.wording.apply(str(error.args[0]))}
            if isinstance(error, (OSError, MemoryError, ImportError, SystemError)):
                from cmx_resnet50.limits import explanation, limit_of

                if isinstance(error, OSError) or limit_of(error) is not None:
                    return {"return": 1, "error": explanation(error)}
            raise

    def _predeps(self, i: Hook) -> Hook:
        env, const = self._views(i)
        for given in (env, const):
            env_run.forget_given(given)
        downloader.forget_no_url(env)
        if receipt.result_stream(i) is sys.stderr:
            keep_stdout_free(i["run_script_input"])
        seen = self.dialect.view({**env.raw, **const.raw})
        if not _is_dependency(i):
            check_input(seen.raw, i["run_script_input"], i["input"], self.dialect.quoted)
            check_flags(i["input"], i["meta"]["input_description"])
        catalog = Catalog.load()
        check_values(seen, catalog.meta["checked_env_keys"])
        asked = downloader.tools_asked(i["run_script_input"])
        downloader.check_urls(seen, asked)
        # The engine has gone into the cache entry since: relative to it, nobody names a file.
        env[LOCAL] = seen[LOCAL] = local_file(seen, env["TMP_CURRENT_PATH"])
        if _silent(env) or not _is_terminal(sys.stdin):
            # The engine asks, say, which Python to take, and fails where nobody answers.
            env["QUIET"] = "yes"
        options = options_of(env, const)
        request = request_of(seen, const, self._by_name(i))
        resolution = catalog.resolve(request, strict=options.strict)
        downloader.require_fetchable(resolution, asked)
        env_run.print_notices(env, [*resolution.messages, *secret_notices(env, const)])
        if options.skip_tensorflow:
            env[f"{OPTION}SKIP_TENSORFLOW"] = "yes"
        mine = entry.of(i)
        env[env_run.ENTRY] = "" if mine is None else str(mine.folder)
        run_lock.begin(i["run_script_input"]).acquire()
        if mine is not None:
            mine.restore()
            mine.work_elsewhere()
        return {"return": 0}

    def _preprocess(self, i: Hook) -> Hook:
        _spare_a_copy(i["run_script_input"])
        env, _, options, resolution = self._asked(i)
        env[env_run.OUTPUT] = output_folder(env, env["TMP_CURRENT_PATH"])
        env.pop("OUTDIRNAME", None)
        env_run.require_free_output(env, resolution, options)
        folder = env_run.working_folder(env, options)
        folder.mkdir(parents=True, exist_ok=True)
        # Engine and downloader leave files of their own in the working folder: not in the
        # user's output folder, where the engine has just gone.
        os.chdir(folder)
        env[env_run.PLACE] = str(folder / "model" / resolution.artifact.file)
        asked = downloader.tools_asked(i["run_script_input"])
        tool = downloader.tool_for(resolution, asked, options, self.dialect.cache_folder)
        if tool:
            downloader.leave_out(i["meta"], downloader.declared_tool(resolution))
            env.update(downloader.for_downloader(resolution))
            return {"return": 0}
        lock = run_lock.of(i["run_script_input"])
        lock.release()
        delivery = env_run.prepare(env, resolution, options, silent=_silent(env))
        lock.acquire()
        i["run_script_input"][_DELIVERY] = delivery
        step = self.dialect.native_step
        if step and env_run.needs_script(resolution, delivery, options):
            env_run.for_script(env, resolution)
            i["run_script_input"]["script_name"] = step
        else:
            mine = entry.of(i)
            if mine is not None:
                mine.work_elsewhere()
        return {"return": 0}

    def _postprocess(self, i: Hook) -> Hook:
        env, const, options, resolution = self._asked(i)
        delivery = i["run_script_input"].pop(_DELIVERY, None)
        if delivery is None:
            delivery = env_run.import_fetched(env, resolution, options)
        delivery = env_run.complete(env, delivery, options, silent=_silent(env))
        env_run.finish(env, delivery)
        # The entry itself is what must exist: a lost file inside is repaired, not a reason to
        # leave this entry behind and make a second one.
        env["GET_DEPENDENT_CACHED_PATH"] = env[env_run.ENTRY]
        env["DOWNLOAD_PATH"] = str(Path(env[env_run.PLACE]).parent)
        tags = env_run.cache_tags(env, delivery.resolution)
        mine = entry.of(i)
        double = mine is not None and not i["input"].get("new") and mine.is_double()
        if delivery.private or double:
            # An entry that stays unfinished answers nobody, also not the script that we replace.
            tags.append("tmp")
        if not env[env_run.OUTPUT]:
            # Here rather than in a run of the ensure script: the engine takes longer to begin one
            # than the look takes. Into an output folder goes what that script exports, last.
            line = env_run.ensure(env, const, silent=_silent(env))
            env[env_run.ENSURED] = "yes"
            if not _silent(env):
                print(line, file=receipt.result_stream(i), flush=True)
        run_lock.of(i["run_script_input"]).hold_lookups()
        return {"return": 0, "add_extra_cache_tags": tags}

    def _ensure(self, i: Hook) -> Hook:
        env, const = self._views(i)
        if env_run.ENTRY not in env:  # A hit: nobody has read the request yet.
            env[env_run.OUTPUT] = output_folder(env, env["TMP_CURRENT_PATH"])
        line = env_run.ensure(env, const, silent=_silent(env))
        if not _silent(env):
            print(line, file=receipt.result_stream(i), flush=True)
        return {"return": 0, "skip": True}

    def _by_name(self, i: Hook) -> list[str]:
        """Return the variations that were asked for by name."""
        return self.dialect.asked_by_name(i["variation_tags"], str(i["input"].get("tags", "")))

    def _views(self, i: Hook) -> tuple[EnvView, EnvView]:
        const = i["run_script_input"].get("const", {})
        return self.dialect.view(i["env"]), self.dialect.view(const)

    def _asked(self, i: Hook) -> tuple[EnvView, EnvView, Options, Resolution]:
        """Return env, const, the options and what the request means."""
        env, const = self._views(i)
        options = options_of(env, const)
        request = request_of(env, const, self._by_name(i))
        return env, const, options, Catalog.load().resolve(request, strict=options.strict)


def _spare_a_copy(run: Hook) -> None:
    """Take out of the next hook's input what no hook of ours reads.

    The engine copies all of it for each hook, and its own objects bring the index of all scripts.
    Under CM, `hook_copies` spares that for all hooks. MLC shares these objects with dependencies,
    whose hooks must get copies.
    """
    common = run.get("customize_common_input", {})
    common.update(dict.fromkeys(common.keys() & {"automation", "artifact"}))


def _is_dependency(i: Hook) -> bool:
    """Whether another script runs this one.

    The engine says so in the input, where a user can write it, too: the engine's stack decides.
    """
    frame = sys._getframe() if i["input"].get("recursion") else None
    while frame is not None and frame.f_code.co_name != "_run_deps":
        frame = frame.f_back
    return frame is not None


def _silent(env: EnvView) -> bool:
    return flag("--silent", env.get(receipt.SILENT))


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # none, or closed
        return False
