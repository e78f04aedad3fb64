"""The engine's downloader, which runs where a tool that the user named fetches the file.

Where our library has delivered the file, it does not run: the dependency is skipped. The keys have
the same names, behind its prefix, in every engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cmx_resnet50 import shell_values
from cmx_resnet50.cached_run.receipt import RUN
from cmx_resnet50.catalog.request import RequestError, Resolution
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.delivery.pipeline import Pipeline
from cmx_resnet50.engines.dialect import MODEL, EnvView
from cmx_resnet50.engines.env_request import URL_FILE
from cmx_resnet50.options import Options
from cmx_resnet50.redaction import redact
from cmx_resnet50.shell_values import Place, UnsafeValue
from cmx_resnet50.user_urls import problem_of
from cmx_resnet50.wording import URL as URL_MARK

NAME = "model-downloader"
"""The name of the prehook in the meta, by which users choose its tool."""
DELIVERED = RUN + "DELIVERED"
"""Set where the library has delivered the files: the metas skip the downloader then."""
_FURTHER = tuple(f"DOWNLOAD_URL{index}" for index in range(1, 5))
FETCHED = "DOWNLOAD_DOWNLOADED_PATH"
"""Where the downloader left the file that it fetched."""


def tools_asked(run: Mapping[str, Any]) -> list[str]:
    """Return the download tools that the user or a variation asked for, say ``_wget``."""
    asked = run.get("add_deps_recursive", {}).get(NAME, {})
    return [tag for tag in str(asked.get("tags", "")).split(",") if tag.startswith("_")]


def leave_out(meta: Mapping[str, Any], tool: str) -> None:
    """Let the downloader do without `tool`: it runs with the one that the user named."""
    for dependency in meta["prehook_deps"]:
        if NAME in dependency.get("names", ()):
            tags = [tag for tag in dependency["tags"].split(",") if tag != tool]
            dependency["tags"] = ",".join(tags)


def forget_no_url(env: EnvView) -> None:
    """Remove the URL from `env` where no variation and no const of the user's set one.

    The meta sets it to a placeholder for itself, in place of a URL in the env of the user or a
    caller: that is not used, and so must not be a part of the entry's identity.
    """
    if env.get("PACKAGE_URL") == f"<<<{env.full('PACKAGE_URL')}>>>":
        del env["PACKAGE_URL"]


def check_urls(env: EnvView, asked: Sequence[str]) -> None:
    """Refuse URLs and file names that would act in the shell to which the downloader hands them.

    Parameters
    ----------
    env : EnvView
        All that the downloader would read.
    asked : sequence of str
        The download tools that were asked for; without one, only our own code reads a URL.

    Raises
    ------
    UnsafeValue
        For a URL that holds other characters than a URL may, or a name that a shell acts on.
    """
    if asked and env.get(URL_FILE):
        raise UnsafeValue(
            f"{env.full(URL_FILE)}: the download tool {asked[-1]} would write the URL down. "
            "Choose no download tool."
        )
    for name in ("DOWNLOAD_FILENAME", f"{MODEL}FILE"):
        shell_values.check(env.full(name), str(env.get(name, "")), Place.EVAL)
    for name in ("PACKAGE_URL", "DOWNLOAD_URL", *_FURTHER):
        url, full = str(env.get(name, "")), env.full(name)
        shell_values.check(full, url, Place.URL)
        # The engine escapes "&" in the main URL alone, and not in the file name that ends its path.
        unescaped = url if name in _FURTHER else url.partition("?")[0]
        if asked and "&" in unescaped:
            raise UnsafeValue(
                f"{full} contains '&', on which the shell of {asked[-1]} would act. Write it as "
                "%26 in a path; or choose no download tool, then any URL is fetched."
            )


def require_fetchable(resolution: Resolution, asked: Sequence[str]) -> None:
    """Refuse a URL of the user's from which nothing can be fetched, before anything is.

    Where the user named another tool, that decides what it fetches.

    Raises
    ------
    RequestError
        With what is wrong with the URL.
    """
    if resolution.request.url is None or _named(resolution, asked):
        return
    url = resolution.sources[0]
    problem = problem_of(url)
    if problem is not None:
        raise RequestError(f"{URL_MARK}{redact(url)}: {problem}")


def further_urls(env: EnvView) -> list[str]:
    """Return the user's own further URLs, which are asked last."""
    urls = (str(env.get(name, "")) for name in _FURTHER)
    return [url for url in urls if url]


def tool_for(
    resolution: Resolution, asked: Sequence[str], options: Options, cache: Path | None = None
) -> str:
    """Name the downloader's variation that is to fetch the file, say ``_wget``; empty for ours.

    That is the tool that the user named, unless a local file, the store or the engine's cache has
    the file. The one that a variation declares, for callers that read the meta, is never needed.

    Parameters
    ----------
    resolution : Resolution
        What is delivered.
    asked : sequence of str
        The variations that user and meta ask of the downloader together.
    options : Options
        How it is delivered.
    cache : Path, optional
        The engine's cache.
    """
    request, artifact = resolution.request, resolution.artifact
    if options.offline or request.weights == "dummy" or request.local:
        return ""
    named = _named(resolution, asked)
    if not named:
        return ""
    if Pipeline(Catalog.load(), options, cache=cache).is_at_hand(artifact):
        return ""
    return named[-1]


def _named(resolution: Resolution, asked: Sequence[str]) -> list[str]:
    """Return the tools of `asked` that the user named."""
    return [tag for tag in asked if tag != declared_tool(resolution)]


def declared_tool(resolution: Resolution) -> str:
    """Name the downloader's variation that the meta declares for the file, or an empty text."""
    tool = resolution.artifact.downloader
    return f"_{tool}" if tool else ""


def for_downloader(resolution: Resolution) -> dict[str, str]:
    """Return what the downloader needs to fetch the file that `resolution` means."""
    artifact, url = resolution.artifact, resolution.sources[0]
    # Never without a name: MLC's would take the server's, and hand that to a shell.
    archive = urlsplit(url).path.rpartition("/")[2]
    return {
        "PACKAGE_URL": url,
        "DOWNLOAD_CHECKSUM": artifact.expected_download.md5 or "",
        "DOWNLOAD_FILENAME": archive if artifact.archive else artifact.file,
        "DAE_EXTRACT_DOWNLOADED": "yes" if artifact.archive else "no",
        f"{MODEL}FILE": artifact.file,
    }
