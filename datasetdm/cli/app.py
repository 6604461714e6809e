"""The program: its commands, and how it ends."""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from dotenv import load_dotenv

from datasetdm.cli import data, looking, predict, prompts, results, stages, validation
from datasetdm.errors import DatasetDMError, explain
from datasetdm.utils.progress import print_progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 2 bad input, explained in one paragraph, 130 stopped)."""
    load_dotenv(".env")
    print_progress()
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    # A polite end lets temporary files be removed on the way out, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datasetdm",
        description="A few dozen labelled images in, a training set of any size out.",
        epilog="Run it in the project's root folder, where params.yaml is. `datasetdm <command> --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"datasetdm {_version()}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="command", title="commands")
    data.add_commands(commands)
    validation.add_commands(commands)
    stages.add_commands(commands)
    predict.add_commands(commands)
    prompts.add_commands(commands)
    results.add_commands(commands)
    looking.add_commands(commands)
    return parser


def _version() -> str:
    try:
        return version("datasetdm")
    except PackageNotFoundError:
        return "(not installed: run `make setup`)"
