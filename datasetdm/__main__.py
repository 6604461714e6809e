"""The command line: `datasetdm <stage> <benchmark>` (or `python -m datasetdm`), or `run` for the whole chain."""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dotenv import load_dotenv

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError, explain
from datasetdm.utils.progress import print_progress

_WHAT_STAGES_DO = {
    "ingest": "take the few labelled images, dev, oracle and test sets out of the data set",
    "train_decoder": "train a P-Decoder per seed on the few labelled images",
    "write_prompts": "write the table of prompts, which you may edit",
    "synthesize": "draw images and read their annotations off the diffusion model",
    "annotate": "annotate further real images with the P-Decoder, for the arm pseudo",
    "augment": "splice the annotated images into larger ones",
    "train_downstream": "train the downstream model on each arm",
    "compare": "judge every arm on the test set and write the report",
}
STAGE_NAMES = tuple(_WHAT_STAGES_DO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 2 bad input, told in one paragraph, 130 stopped)."""
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
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        told = explain(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which takes a second to import
            raise
        print(
            f"error: {str(error).splitlines()[0]} Lower the batch_size of that stage in params.yaml (decoder, "
            "synthesis or downstream), or image_size; what is finished stays.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues from what is finished", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datasetdm",
        description="A few dozen labelled images in, a training set of any size out.",
        epilog="Run it in the project's root folder, where params.yaml is. `datasetdm <command> --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"datasetdm {_version()}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="command", title="commands")
    for name, what in _WHAT_STAGES_DO.items():
        _add(commands, name, _run_one, help=what, stage=name)
    run = _add(commands, "run", _run_chain, help="run all these stages; those that are up to date cost seconds")
    run.add_argument("--until", choices=STAGE_NAMES, default=STAGE_NAMES[-1], help="the last stage to run")
    _add(commands, "show", _show, help="print the results table of the last comparison")
    diagnosis = _add(
        commands, "diagnose", _diagnose, help="say whether more synthetic images are worth making, or what is"
    )
    diagnosis.add_argument(
        "--minutes-per-label", type=float, default=10.0, help="a person's time for one labelled image (default: 10)"
    )
    board = commands.add_parser("leaderboard", help="print all benchmarks that were compared in one table")
    _add_study(board)
    board.set_defaults(command=_leaderboard)
    return parser


def _version() -> str:
    try:
        return version("datasetdm")
    except PackageNotFoundError:
        return "(not installed: run `make setup`)"


def _add(commands, name, command, *, help, **defaults) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument("benchmark", help="a key of `benchmarks` in params.yaml")
    _add_study(parser)
    parser.set_defaults(command=command, **defaults)
    return parser


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", action="store_true", help="at study size (the block `study`), in data/study")


def _run_one(options: argparse.Namespace) -> None:
    _run(options, [options.stage])


def _run_chain(options: argparse.Namespace) -> None:
    _run(options, STAGE_NAMES[: STAGE_NAMES.index(options.until) + 1])


def _run(options: argparse.Namespace, names: Sequence[str]) -> None:
    _know_the_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.engine.run import run_stage
    from datasetdm.pipeline.stages import STAGES

    context = open_context(options.benchmark, study=options.study)
    for name in names:
        run_stage(STAGES[name], context)


def _know_the_project() -> None:
    """Tell before the slow imports that this is no project's folder; mistakes in its settings are told all at once."""
    if not Path("params.yaml").exists():
        load_params()


def _show(options: argparse.Namespace) -> None:
    _know_the_project()
    from datasetdm.pipeline.context import missing, open_context

    context = open_context(options.benchmark, study=options.study)
    table = context.paths.reports / "table.md"
    if not table.exists():
        raise missing(context, table, "compare")
    print(table.read_text(), end="")


def _diagnose(options: argparse.Namespace) -> None:
    _know_the_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.diagnose import diagnose

    print(diagnose(open_context(options.benchmark, study=options.study), minutes_per_label=options.minutes_per_label))


def _leaderboard(options: argparse.Namespace) -> None:
    params = load_params(study=options.study)
    from datasetdm.pipeline.leaderboard import make_leaderboard

    for table in make_leaderboard(params, study=options.study).tables.values():
        print(table, end="")


if __name__ == "__main__":
    sys.exit(main())
