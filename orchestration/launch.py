"""Run a job here and now, in a way that Dagster's home page lists the run: `python -m orchestration.launch coco`.

The home page groups runs by the code location that they belong to. `dagster asset materialize` and `dagster job
execute` do not note one, so their runs appear only on the page "Runs". This is what they do, with the note.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.interrupts import capture_interrupts
from dotenv import load_dotenv

from datasetdm.errors import DatasetDMError

MODULE = "orchestration.definitions"
REPOSITORY = "__repository__"  # what Dagster calls the definitions of a module


def run_job(name: str, config: Mapping[str, Any], instance: DagsterInstance) -> bool:
    """Run a job to its end; returns whether it succeeded.

    Raises:
        DatasetDMError: there is no such job.
    """
    repository = ReconstructableRepository.for_module(MODULE, "defs", os.getcwd())
    jobs = repository.get_definition().job_names
    if name not in jobs:
        known = ", ".join(sorted(job for job in jobs if not job.startswith("__")))
        raise DatasetDMError(f"There is no job '{name}'. A job runs a whole benchmark of params.yaml: {known}.")
    job = repository.get_reconstructable_job(name)
    run = instance.create_run_for_job(
        job.get_definition(),
        run_config=config,
        job_code_origin=job.get_python_origin(),
        remote_job_origin=_origin(name),
    )
    return execute_run(job, run, instance).success


def _origin(name: str) -> RemoteJobOrigin:
    """The job as `dagster dev -m orchestration.definitions` loads it."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE, working_directory=os.getcwd())
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=MODULE)
    return RemoteRepositoryOrigin(location, REPOSITORY).get_job_origin(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code (0 done, 1 a step failed, 2 bad input)."""
    parser = argparse.ArgumentParser(prog="orchestration.launch", description="Run a job of Dagster here and now.")
    parser.add_argument("job", help="a benchmark of params.yaml, or every_benchmark")
    parser.add_argument("--config", type=Path, help="the configuration of the run, a YAML file")
    options = parser.parse_args(arguments)
    load_dotenv(".env")
    config = yaml.safe_load(options.config.read_text()) if options.config else {}
    try:
        with capture_interrupts(), DagsterInstance.get() as instance:
            return 0 if run_job(options.job, config, instance) else 1
    except DatasetDMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
