"""The one exception that a user is meant to read."""


class DatasetDMError(Exception):
    """Bad input or a missing precondition: one paragraph that names the file and the remedy.

    The command line prints it without a traceback and exits with code 2; Dagster shows it as the
    failure of the step, without retries.
    """
