"""The command line: `datasetdm <command>`, or `python -m datasetdm <command>`.

One file per group of commands. Each parses its options, calls the library and prints. Slow imports wait until a
command needs them.
"""

from datasetdm.cli.app import main

__all__ = ["main"]
