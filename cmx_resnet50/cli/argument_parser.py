"""argparse's parser: options anywhere, and errors that name the subcommand and show its usage."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from cmx_resnet50.cli.failure import UsageError


class ArgumentParser(argparse.ArgumentParser):
    """Raises `UsageError` in place of ending the process."""

    _intermixed = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse options between positionals; refuse what this subcommand does not know.

        argparse calls this for a subcommand, and leaves what is unknown to the top parser.
        """
        if self._intermixed:  # argparse itself, once for the options and once for the others
            return super().parse_known_args(args, namespace)
        # argparse does not intermix where there are subcommands, and loses a `--`.
        if self._subparsers is not None or "--" in (args or ()):
            parsed, extras = super().parse_known_args(args, namespace)
        else:
            self._intermixed = True
            try:
                parsed, extras = self.parse_known_intermixed_args(args, namespace)
            finally:
                self._intermixed = False
        if extras:
            # What follows an unknown option may be valid without it.
            extras = [one for one in extras if one.startswith("-")] or extras
            flags = [extra.partition("=")[0] for extra in extras if extra.startswith("-")]
            meant = _suggestion(flags, self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(extras)}{meant}")
        return parsed, extras

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Suggest a choice that is nearly `value`: a subcommand, a page."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += _suggestion([str(value)], map(str, action.choices or ()))
            raise

    def error(self, message: str) -> NoReturn:
        """Raise the error for a wrong command line.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(self.prog, self.format_usage(), message)


def _suggestion(given: Iterable[str], known: Iterable[str]) -> str:
    """Return the sentence with the names that are nearly those `given`; empty if there are none."""
    from difflib import get_close_matches

    # Without the dashes, which all options have in common.
    names = {name.lstrip("-"): name for name in known}
    near = [match for word in given for match in get_close_matches(word.lstrip("-"), names, n=1)]
    meant = " and ".join(names[match] for match in dict.fromkeys(near))
    return f". Did you mean {meant}?" if meant else ""
