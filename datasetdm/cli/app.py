"""The program: its commands, and how it ends."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import shtab
from dotenv import load_dotenv

from datasetdm.cli import (
    data,
    export,
    labels,
    looking,
    operating,
    plan,
    predict,
    prompts,
    results,
    sharing,
    stages,
    unpacking,
    validation,
)
from datasetdm.cli.options import HOME, go_to_project
from datasetdm.errors import DatasetDMError, explain
from datasetdm.utils.processors import heed_quota
from datasetdm.utils.progress import print_progress

#: The commands in the order in which the help lists them.
GROUPS = (
    data,
    validation,
    plan,
    stages,
    prompts,
    predict,
    results,
    looking,
    labels,
    export,
    sharing,
    unpacking,
    operating,
)
EXIT_CODES = (
    "Exit codes: 0 done; 1 an unexpected error, with a traceback; 2 bad input, explained in a paragraph; 130 stopped; "
    "141 what reads the output has ended."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, see `EXIT_CODES`.

    Args:
        arguments: of the command; None: those of the program, which then hides what libraries warn their callers of,
            unless `-W` or `PYTHONWARNINGS` asks for it.
    """
    if arguments is None and not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()  # here, as an error while the interpreter ends cannot be caught
    except BrokenPipeError:  # `datasetdm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is written from now on
        return 141  # as of a program that SIGPIPE ends


def _run(arguments: Sequence[str] | None) -> int:
    parser = command_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    print_progress(to_stderr=getattr(options, "json", False))
    # A polite end lets temporary files be removed on the way out, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        go_to_project(options.project)
        load_dotenv(".env")
        heed_quota()
        options.command(options)
    except DatasetDMError as error:
        return _fail(str(error))
    except OSError as error:
        explanation = explain(error)
        if explanation is None:
            raise
        return _fail(explanation)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which takes a second to import
            raise
        return _fail(
            f"{str(error).splitlines()[0]} Lower the batch_size of that stage in params.yaml (decoder, synthesis or "
            "downstream), or image_size; what is finished stays."
        )
    except KeyboardInterrupt:
        print("stopped; the same command continues from what is finished", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def command_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="datasetdm",
        description="A few dozen labelled images in, a training set of any size out.",
        epilog=f"Run it in the project's root folder, where params.yaml is, or name that folder with --project or in "
        f"the environment variable {HOME}. `datasetdm <command> --help` says more. {EXIT_CODES}",
    )
    parser.add_argument("--project", metavar="FOLDER", help=f"the project's root folder (default: ${HOME}, else here)")
    shtab.add_argument_to(parser, "--print-completion", help="print a script that completes commands in your shell")
    parser.add_argument("--version", action="version", version=f"datasetdm {_version()}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="command", title="commands")
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def _version() -> str:
    try:
        return version("datasetdm")
    except PackageNotFoundError:
        return "(not installed: run `make setup`)"
