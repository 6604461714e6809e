"""The exception that users read, and explanations for errors of the operating system."""

import errno


class DatasetDMError(Exception):
    """Bad input or a missing precondition. The message is one paragraph that names the file, the cause and the remedy.

    The command line prints it without a traceback and exits with code 2. Dagster shows it as the failure of the step
    and does not retry.
    """


_FULL = "Free some space and run the same command again; finished work is kept."
_DENIED = "You may not read or write it: change its permissions, or run as its owner."
_OTHER_KIND = "A file or folder of another kind is there: move it away, or correct the path in params.yaml."
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "The disk is read-only: run from a folder that you can write to.",
    errno.EMFILE: "Raise the limit with `ulimit -n 4096` and run the same command again.",
    errno.EIO: "The disk or its connection fails: check it and run the same command again.",
}
_REMEDIES_FOR_A_FILE = {
    errno.ENOENT: (
        "It was not there, or was moved or removed while the command ran. Put it back. If it is an output, run the "
        "same command again."
    ),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENAMETOOLONG: "Give it a shorter name, or work in a folder with a shorter path.",
    errno.EEXIST: _OTHER_KIND,
    errno.EISDIR: _OTHER_KIND,
    errno.ENOTDIR: _OTHER_KIND,
    errno.ENOTEMPTY: "Another process writes there: wait for it and run the same command again.",
}


def explain(error: OSError) -> str | None:
    """The file, the reason and the remedy for an OSError; None if no file or disk caused it."""
    if error.errno in _REMEDIES:
        remedy = _REMEDIES[error.errno]
        return f"{error.filename}: {error.strerror}. {remedy}" if error.filename else f"{error.strerror}. {remedy}"
    if error.filename is None or error.strerror is None:
        return None
    return f"{error.filename}: {error.strerror}. {_REMEDIES_FOR_A_FILE.get(error.errno or 0, '')}".strip()
