"""`python -m datasetdm` is the program `datasetdm`."""

import sys

from datasetdm.cli import main

if __name__ == "__main__":
    sys.exit(main())
