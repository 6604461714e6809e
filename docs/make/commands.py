"""docs/commands.md: every command and option, from the parser."""

import argparse
from collections.abc import Iterator

from datasetdm.cli.app import EXIT_CODES, command_parser
from docs.make.tables import notice, table

INTRODUCTION = f"""
# Commands

    datasetdm <command> --help

says the same as this page. [terminal.md](terminal.md) has what all commands share.

{EXIT_CODES}
"""


def commands_page() -> str:
    """The page as Markdown."""
    parser = command_parser()
    parts = [notice("the parser in `datasetdm/cli/`"), INTRODUCTION, "## All commands", _options(parser)]
    parts += [text for name, command in commands(parser).items() for text in _command(f"datasetdm {name}", command)]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """The section of a command, then those of the commands in it."""
    yield f"## `{name}`"
    yield parser.description or ""
    inner = commands(parser)
    if not inner:
        yield f"    {' '.join([name, *_usage(parser)])}"
        yield _options(parser)
    for action, command in inner.items():
        yield from _command(f"{name} {action}", command)


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._get_positional_actions():
        text = action.metavar or action.dest.upper()
        yield {"?": f"[{text}]", "+": f"{text} [...]"}.get(str(action.nargs), str(text))
    for action in parser._get_optional_actions():
        if action.required:
            yield _flag(action)
    yield "[options]"


def _options(parser: argparse.ArgumentParser) -> str:
    shown = [
        action
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction) and action.help
    ]
    return table(("argument", "meaning"), [(f"`{_flag(action)}`", _meaning(action)) for action in shown])


def _flag(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest.upper())
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return f"{action.option_strings[-1]}{value}"


def _meaning(action: argparse.Action) -> str:
    """Its help, with the choices that it has."""
    said = (action.help or "").replace("%%", "%")
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return f"{said}: {choices}" if choices else said
