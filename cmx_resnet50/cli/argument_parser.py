"""argparse's parser: options anywhere, and errors that name the subcommand and show its usage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
            self.error(f"unrecognized arguments: {' '.join(extras)}")
        return parsed, extras

    def error(self, message: str) -> NoReturn:
        """Raise the error for a wrong command line.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(self.prog, self.format_usage(), message)
