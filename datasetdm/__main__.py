"""The command line: `python -m datasetdm <stage> <benchmark>`, or `run` for the whole chain."""

import argparse
import signal
import sys
from collections.abc import Sequence

from dotenv import load_dotenv

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError, explain

STAGE_NAMES = (
    "ingest",
    "train_decoder",
    "write_prompts",
    "synthesize",
    "annotate",
    "augment",
    "train_downstream",
    "compare",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 2 bad input, told in one paragraph, 130 stopped)."""
    load_dotenv(".env")
    options = _parser().parse_args(arguments)
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
        print("stopped; the same command goes on from what is finished", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="datasetdm", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name in STAGE_NAMES:
        _add(commands, name, _run_one, help=f"run the stage {name}", stage=name)
    run = _add(commands, "run", _run_chain, help="run the whole chain")
    run.add_argument("--until", choices=STAGE_NAMES, default=STAGE_NAMES[-1], help="the last stage to run")
    _add(commands, "show", _show, help="print the results table")
    diagnosis = _add(commands, "diagnose", _diagnose, help="whether more synthetic images are worth making, or what is")
    diagnosis.add_argument(
        "--minutes-per-label", type=float, default=10.0, help="a person's time for one labelled image (default: 10)"
    )
    board = commands.add_parser("leaderboard", help="all benchmarks that were compared, in one table")
    _add_study(board)
    board.set_defaults(command=_leaderboard)
    return parser


def _add(commands, name, command, *, help, **defaults) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help)
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
    load_params(study=options.study).benchmark(options.benchmark)  # tell mistakes before the slow imports
    from datasetdm.stages import STAGES, open_context, run_stage

    context = open_context(options.benchmark, study=options.study)
    for name in names:
        run_stage(STAGES[name], context)


def _show(options: argparse.Namespace) -> None:
    from datasetdm.stages.context import missing, open_context

    context = open_context(options.benchmark, study=options.study)
    table = context.paths.reports / "table.md"
    if not table.exists():
        raise missing(context, table, "compare")
    print(table.read_text(), end="")


def _diagnose(options: argparse.Namespace) -> None:
    load_params(study=options.study).benchmark(options.benchmark)
    from datasetdm.stages import open_context
    from datasetdm.stages.diagnose import diagnose

    print(diagnose(open_context(options.benchmark, study=options.study), minutes_per_label=options.minutes_per_label))


def _leaderboard(options: argparse.Namespace) -> None:
    params = load_params(study=options.study)
    from datasetdm.stages.leaderboard import make_leaderboard

    for table in make_leaderboard(params, study=options.study).tables.values():
        print(table, end="")


if __name__ == "__main__":
    sys.exit(main())
