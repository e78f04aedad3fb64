"""Checks of the network: proxies, certificates and mirrors; and each source's first bytes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmx_resnet50.catalog.table import Artifact, Catalog
from cmx_resnet50.delivery.acquire import site_urls
from cmx_resnet50.diagnosis.finding import Finding
from cmx_resnet50.fetch import FetchOptions, Source
from cmx_resnet50.options import OptionError, Options

if TYPE_CHECKING:
    from cmx_resnet50.fetch.shared_cause import SharedCause

AREA = "network"
PAGE = "cmx-resnet50 docs networks"
TOGETHER = 60.0
"""Seconds that all sources have to answer, together."""
EACH = 15.0
"""Seconds that a source may be silent."""


@dataclass(frozen=True)
class Question:
    """A source to ask, under the name by which it is reported."""

    name: str
    urls: tuple[str, ...]
    named_by_user: bool = False


def settings() -> Iterator[Finding]:
    """Yield what proxies and certificates are set, without secrets."""
    from cmx_resnet50.fetch import diagnose

    try:
        prefixes = Options.read({}).mirror
    except OptionError:  # A finding of its own.
        prefixes = ()
    urls = [url for artifact in _artifacts() for url in (artifact.url, *artifact.mirrors)]
    for setting in (*diagnose.proxies([*urls, *prefixes]), diagnose.certificates()):
        if setting.problem is None:
            yield Finding(AREA, setting.text)
        else:
            fix = setting.fix or PAGE
            yield Finding(AREA, setting.problem, setting.why, fix, ok=False)
    if os.environ.get("NO_PROXY") or os.environ.get("no_proxy"):
        yield Finding(AREA, "NO_PROXY is set: hosts that it names are asked directly")


def mirrors() -> Iterator[Finding]:
    """Yield what mirrors are set, without secrets, and whether there may be a network."""
    from cmx_resnet50.fetch import diagnose
    from cmx_resnet50.fetch.sources import require

    options = Options.read({})
    for prefix in options.mirror:
        mirror = Source(prefix, named_by_user=True)
        require(mirror)
        problem = diagnose.folder_problem(mirror)
        if problem is None:
            yield Finding(AREA, f"mirror {mirror.printable}")
            continue
        yield Finding(
            AREA,
            f"mirror {mirror.printable}: {problem}",
            "No file is taken from it; the public sources are asked in its place.",
            "export CM_RESNET50_MIRROR=file:///THE/FOLDER",
            ok=False,
        )
    if options.offline:
        yield Finding(AREA, "CM_RESNET50_OFFLINE is on: no socket is opened")


def sources() -> Iterator[Finding]:
    """Ask every source for its first bytes; one that does not send them is a finding."""
    options = Options.read({})
    fetch_options = FetchOptions(
        connect_timeout=min(EACH, options.connect_timeout),
        read_timeout=min(EACH, options.read_timeout),
        offline=options.offline,
    )
    if options.offline:
        yield Finding(AREA, "sources are not asked: CM_RESNET50_OFFLINE is on")
        return
    answers: dict[str, Finding] = {}
    shared: dict[str, SharedCause] = {}
    questions = [*_mirrors(options), *_public()]
    threads = [
        threading.Thread(
            target=_answer, args=(question, fetch_options, answers, shared), daemon=True
        )
        for question in questions
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TOGETHER
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    public = [question for question in questions if not question.named_by_user]
    causes = {shared.get(question.name) for question in public}
    cause = causes.pop() if len(causes) == 1 else None
    for question in questions if cause is None else questions[: -len(public)]:
        yield answers.get(question.name) or _problem(
            question, f"no answer within {TOGETHER:.0f} seconds"
        )
    if cause is not None:
        text = f"none of the {len(public)} public sources can be reached: {cause.what}"
        yield Finding(AREA, text, cause.why, cause.fix, ok=False)


def _answer(
    question: Question,
    options: FetchOptions,
    answers: dict[str, Finding],
    shared: dict[str, SharedCause],
) -> None:
    from cmx_resnet50.fetch import diagnose

    try:
        missing, problem = True, ""
        for url in question.urls:
            source = Source(url, named_by_user=question.named_by_user)
            found = diagnose.ask(source, options)
            if found.problem is None:
                answers[question.name] = Finding(AREA, f"{question.name} sends its first bytes")
                return
            if found.shared is not None:
                shared[question.name] = found.shared
            missing, problem = missing and found.status == 404, problem or found.problem
        if missing and len(question.urls) > 1:
            text = f"{question.name} answers, and does not have the file of _onnx"
            answers[question.name] = Finding(AREA, text)
            return
        answers[question.name] = _problem(question, problem)
    except Exception as error:  # In a thread, nobody else would see it.
        answers[question.name] = _problem(question, type(error).__name__)


def _problem(question: Question, problem: str) -> Finding:
    why = "Files that it has are fetched from other sources, if there are any."
    return Finding(AREA, f"{question.name}: {problem}", why, PAGE, ok=False)


def _public() -> list[Question]:
    return [
        Question(url, (url,))
        for artifact in _artifacts()
        for url in (artifact.url, *artifact.mirrors)
    ]


def _mirrors(options: Options) -> list[Question]:
    from cmx_resnet50.fetch import diagnose

    example = next(artifact for artifact in _artifacts() if artifact.verifiable)
    return [
        Question(
            f"mirror {Source(prefix).printable}",
            tuple(site_urls(example, (prefix,))),
            named_by_user=True,
        )
        for prefix in options.mirror
        # A folder that cannot be used is a finding of `mirrors`.
        if diagnose.folder_problem(Source(prefix)) is None
    ]


def _artifacts() -> list[Artifact]:
    return [
        artifact
        for artifact in Catalog.load().artifacts.values()
        if artifact.url.startswith(("https://", "http://"))
    ]
