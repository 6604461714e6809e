"""FiftyOne in a separate process, for tests that look into its data sets.

It is not installed next to MLflow (see docs/looking.md). Say where it is, and where its database is if it has none:

    export DATASETDM_FIFTYONE=/tmp/fiftyone/bin/python
    mongod --dbpath /tmp/mongo --bind_ip 127.0.0.1 --port 27117
    export FIFTYONE_DATABASE_URI=mongodb://127.0.0.1:27117
"""

import json
import os
import subprocess
from typing import Any

import pytest

PYTHON = os.environ.get("DATASETDM_FIFTYONE")
needs_fiftyone = pytest.mark.skipif(not PYTHON, reason="DATASETDM_FIFTYONE does not say where FiftyOne is")


def ask_fiftyone(code: str, *arguments: object) -> Any:
    """What `code` assigns to `answer`; it gets `arguments`, and `fiftyone` is imported."""
    assert PYTHON
    lines = ["import json, sys", "arguments = json.loads(sys.argv[1])", "import fiftyone", code]
    ending = "print('\\nanswer', json.dumps(answer))"
    command = [PYTHON, "-c", "\n".join([*lines, ending]), json.dumps(arguments, default=str)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rsplit("\nanswer ", 1)[1])
