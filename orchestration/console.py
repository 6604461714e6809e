"""What a person sees on the console during a run: progress, warnings and errors, each as a plain line.

Dagster's own notes on its steps, and the names of job, run and step on every line, are in its pages.
"""

import logging
import sys

from dagster import DagsterEvent, Field, InitLoggerContext, logger

from datasetdm.utils.progress import PROGRESS


class _PlainText(logging.Formatter):
    """The text of a record without the names that Dagster puts before it."""

    def format(self, record: logging.LogRecord) -> str:
        text = str(getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage())
        if reason := _reason(getattr(record, "dagster_event", None)):
            text = f"{text} {reason}"
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


def _for_people(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or hasattr(record, PROGRESS)


def _reason(event: DagsterEvent | None) -> str:
    """Why a step failed: the text of a `Failure`, else the error with its traceback; empty for other events."""
    if event is None or not event.is_step_failure:
        return ""
    failure = event.step_failure_data
    described = failure.user_failure_data
    return described.description if described and described.description else failure.error_display_string


@logger(
    config_schema={"log_level": Field(str, default_value="INFO", description="The least level that is shown.")},
    description="Plain lines: what the stages say of their progress, warnings and errors.",
)
def plain_console(context: InitLoggerContext) -> logging.Logger:
    """The logger `console` of a run."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_PlainText())
    handler.addFilter(_for_people)
    console = logging.Logger("console", level=context.logger_config["log_level"])
    console.addHandler(handler)
    return console
