"""The command line: `openclip-api COMMAND`. What each command does is in commands.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence

from . import __version__
from .commands import COMMANDS, Command
from .ending import exit_code
from .settings import Settings, read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 well, 1 it could not start, 2 wrong usage, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(with_all_settings="--help-all" in arguments)
    parsed, words = parser.parse_known_args(arguments)
    if words and ("words" not in parsed or any(word.startswith("-") for word in words)):
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    if words:
        parsed.words += words  # of search: argparse leaves those that come after a flag
    flags = {name: value for name, value in vars(parsed).items() if name in Settings.model_fields}
    command = COMMANDS[parsed.command]
    return exit_code(lambda: command.run(read_settings(**flags), parsed), command.goes_on)


def _parser(with_all_settings: bool = False) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="openclip-api", description="OpenCLIP embeddings over HTTP, without torch.")
    parser.add_argument("--version", action="version", version=__version__)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        subparser = parsers.add_parser(
            name, help=command.help, description=_sentence(command.help), epilog=_epilog(command)
        )
        command.add_arguments(subparser)
        if command.settings is not None:
            subparser.add_argument("--help-all", action="help", help="show the flags of all settings too, and exit")
        _add_settings(subparser, None if with_all_settings else command.settings)
    return parser


def _sentence(help: str) -> str:
    return f"{help[0].upper()}{help[1:]}."


def _epilog(command: Command) -> str | None:
    return f"Example: {command.example}" if command.example else None


def _add_settings(parser: argparse.ArgumentParser, shown: Collection[str] | None) -> None:
    """A flag for each setting. One that is not given is absent from the parsed arguments, so the environment counts.

    shown: those that the help tells of, None for all.
    """
    group = parser.add_argument_group("settings")
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f" (default {_shown(field.default)})"
        help = f"{field.description}{default}; environment: {name.upper()}".replace("%", "%%")
        group.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=help if shown is None or name in shown else argparse.SUPPRESS,
        )


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, list) else str(default)
