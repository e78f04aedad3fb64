"""What one run asks for, read from an engine's env; and the check of values before any script."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from cmx_resnet50 import shell_values
from cmx_resnet50.cached_run.receipt import RUN
from cmx_resnet50.catalog.request import BATCH, BATCH_FORM, Request, RequestError
from cmx_resnet50.engines.dialect import META, OPTION, EnvView
from cmx_resnet50.engines.input_check import without_value
from cmx_resnet50.options import PREFIX, OptionError, Options, absolute
from cmx_resnet50.redaction import holds_secret, redact
from cmx_resnet50.shell_values import Place, UnsafeValue
from cmx_resnet50.wording import URL as URL_MARK

URL_FILE = f"{OPTION}URL_FILE"
"""A file that holds the user's own URL, so that no secret in it is written by the engine."""
URL_LIMIT = 8192
"""Bytes of such a file that are read."""
LOCAL = RUN + "LOCAL_FILE"
"""The user's own file, made absolute before the engine goes elsewhere."""


def check_values(env: EnvView, patterns: Iterable[str]) -> None:
    """Refuse values that would act in the shell scripts into which the engine writes env.

    Parameters
    ----------
    env : EnvView
        All that the engine would write.
    patterns : iterable of str
        Which keys to check, as ``_cm.json`` names them.

    Raises
    ------
    UnsafeValue
        For a value that would not stay text, of a key that one of `patterns` matches.
    """
    ours = tuple(pattern.removeprefix(META) for pattern in patterns)
    for name, value in env.items():
        if any(fnmatchcase(name, pattern) for pattern in ours):
            full = env.full(name)
            shell_values.check(full, str(value), env.dialect.quoted(full))
    batch = str(env.get("ML_MODEL_BATCH_SIZE", "")).strip()
    if batch and not BATCH.fullmatch(batch):
        raise UnsafeValue(f"{env.full('ML_MODEL_BATCH_SIZE')}={batch}: {BATCH_FORM}")
    name = str(env.get("DOWNLOAD_FILENAME", ""))
    shell_values.check(env.full("DOWNLOAD_FILENAME"), name, Place.FILE)
    if "/" in name or "\\" in name or name in (".", ".."):
        raise UnsafeValue(f"{env.full('DOWNLOAD_FILENAME')}={name} is not a plain file name.")


def options_of(env: EnvView, const: EnvView) -> Options:
    """Read the options of this run; `const` beats `env`, and both the process.

    In the process, the option of the engine's prefix beats that of ours; in the run, there is none
    of ours, of which the engine's cache would know nothing.
    """
    prefix = env.full(OPTION)
    for key in (*env.raw, *const.raw):
        if key.startswith(PREFIX) and prefix != PREFIX:
            name = prefix + key.removeprefix(PREFIX)
            raise OptionError(
                f"{key} is read from the environment of the command only. In --env and --const it "
                f"is {name}."
            )
    own = {
        PREFIX + name.removeprefix(prefix): value
        for name, value in os.environ.items()
        if name.startswith(prefix) and value.strip()
    }
    process = {**os.environ, **own}
    given, home = {**env, **const}, env.full("REPOS")
    return Options.read(given, process, prefix=OPTION, home=home, base=_started_in(env))


def request_of(env: EnvView, const: EnvView, explicit: Sequence[str] | None) -> Request:
    """Read the request from env, const and, where known, the variations asked by name.

    Raises
    ------
    RequestError
        For a batch size that is not a positive integer, or for two of them.
    """
    url, from_file = _text(const.get("PACKAGE_URL")), _url_of_file(env)
    if url and from_file:
        raise RequestError(f"Choose one: {env.full(URL_FILE)}, or {URL_MARK}{redact(url)}.")
    request = Request.from_env(
        env,
        asked=f"{OPTION}ASKED_",
        url=url or from_file,
        checksum=_text(const.get("DOWNLOAD_CHECKSUM")),
        local=_text(env[LOCAL] if LOCAL in env else local_file(env)),
        explicit=explicit,
    )
    if "," in (request.url or ""):
        raise RequestError(
            f"{env.full('PACKAGE_URL')}={redact(request.url or '')} holds a comma, which the "
            "engine cannot carry. Write it as %2C."
        )
    return request


def secret_notices(env: EnvView, const: EnvView) -> Iterator[str]:
    """Say how to keep a secret out of the engine's files, where a URL in `env` or `const` has one.

    A URL in `env` is not used, but for those of mirrors.
    """
    mirrors = f"{env.get(f'{OPTION}MIRROR') or ''} {const.get(f'{OPTION}MIRROR') or ''}".split()
    for mirror in mirrors:
        if holds_secret(mirror):
            yield (
                f"The mirror {redact(mirror)} holds a secret, which the engine writes into files "
                f"that others may read. Set {PREFIX}MIRROR in the environment of the command "
                "instead, or put the password into ~/.netrc."
            )
    url = str(const.get("PACKAGE_URL") or "")
    if holds_secret(url):
        yield (
            f"{URL_MARK}{redact(url)} holds a secret, which the engine writes into files that "
            "others may read. Put the URL into a file, and name that with --url_file=FILE."
        )


def _url_of_file(env: EnvView) -> str | None:
    """Return the URL that the file named by `URL_FILE` holds.

    Raises
    ------
    RequestError
        If it cannot be read, or does not hold one URL.
    """
    path = str(env.get(URL_FILE) or "").strip()
    if not path:
        return None
    name = env.full(URL_FILE)
    try:
        with absolute(name, path, _started_in(env)).open("rb") as file:
            words = file.read(URL_LIMIT).decode("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise RequestError(f"{name}={path} cannot be read: {reason}.") from None
    if len(words) != 1:
        raise RequestError(f"{name}={path} must hold one URL; it holds {len(words)} words.")
    # The URL itself is never part of the message: it holds the secret.
    shell_values.check(f"The URL in {path}", words[0], Place.URL)
    return words[0]


def _started_in(env: EnvView) -> Path | None:
    """Return the folder that the user stood in: the engine has gone elsewhere since."""
    folder = env.get("TMP_CURRENT_PATH")
    return Path(folder) if folder else None


def local_file(env: EnvView, base: str = "") -> str:
    """Return the path of the user's own file, if one is given (``--checkpoint`` and the like).

    Parameters
    ----------
    env : EnvView
        The env of the run.
    base : str
        The folder that a relative path starts from; the working folder where none is given.

    Raises
    ------
    OptionError
        If ``~somebody`` is nobody here.
    """
    for name in (f"{OPTION}CHECKPOINT", "DOWNLOAD_LOCAL_FILE_PATH"):
        path = str(env.get(name) or "").strip()
        if path:
            return str(absolute(env.full(name), path, Path(base) if base else None))
    return ""


def output_folder(env: EnvView, base: str) -> str:
    """Return the output folder that this run asked for, absolute, or an empty text.

    Raises
    ------
    OptionError
        If a flag names none: on a cache hit, nobody has looked at the flags before.
    """
    for name, flag in (("OUTDIRNAME", "outdirname"), (f"{OPTION}TO", "to")):
        if env.get(name) is True:
            raise without_value(flag, "to")
        folder = str(env.get(name, "")).strip()
        if folder:
            return str(absolute(env.full(name), folder, Path(base)))
    return ""


def _text(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None
