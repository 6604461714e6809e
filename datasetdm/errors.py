"""The one exception that a user is meant to read, and what those of the operating system mean."""

import errno


class DatasetDMError(Exception):
    """Bad input or a missing precondition: one paragraph that names the file and the remedy.

    The command line prints it without a traceback and exits with code 2; Dagster shows it as the
    failure of the step, without retries.
    """


_FULL = "Free some space, and run the same command again: what is finished stays."
_DENIED = "You may not read or write it: change its permissions, or run as the user that it belongs to."
_OTHER_KIND = "Something of another kind lies there: move it away, or correct the path in params.yaml."
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "The disk can only be read: run from a folder that you may write to.",
    errno.EMFILE: "Raise the limit with `ulimit -n 4096`, and run the same command again.",
    errno.EIO: "The disk fails, or its connection does: check it, and run the same command again.",
}
_REMEDIES_FOR_A_FILE = {
    errno.ENOENT: (
        "It was not there, or it was moved or removed while the command ran: put it back; if it is an output, run the "
        "same command again."
    ),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENAMETOOLONG: "Give it a shorter name, or work in a folder with a shorter path.",
    errno.EEXIST: _OTHER_KIND,
    errno.EISDIR: _OTHER_KIND,
    errno.ENOTDIR: _OTHER_KIND,
    errno.ENOTEMPTY: "Another process writes there: wait for it, and run the same command again.",
}


def explain(error: OSError) -> str | None:
    """What the operating system complains of, of which file, and what to do; None where no file or disk is at fault."""
    if error.errno in _REMEDIES:
        remedy = _REMEDIES[error.errno]
        return f"{error.filename}: {error.strerror}. {remedy}" if error.filename else f"{error.strerror}. {remedy}"
    if error.filename is None or error.strerror is None:
        return None
    return f"{error.filename}: {error.strerror}. {_REMEDIES_FOR_A_FILE.get(error.errno or 0, '')}".strip()
