"""What Dagster loads: the assets, checks, jobs and automation of every benchmark in `params.yaml`."""

from dagster import Definitions

from datasetdm.config import load_params
from datasetdm.pipeline.stages import STAGES
from orchestration.assets import build_assets
from orchestration.automation import killed_runs, new_images_sensor, nightly_schedule
from orchestration.checks import build_checks
from orchestration.console import plain_console
from orchestration.engines import executor_of_run
from orchestration.jobs import build_job, build_job_of_all
from orchestration.label_quality import build_label_quality
from orchestration.leaderboard import build_leaderboard

params = load_params()
jobs = [build_job(benchmark) for benchmark in params.benchmarks]
job_of_all = build_job_of_all()

defs = Definitions(
    assets=[*build_assets(params, STAGES), *build_label_quality(params), build_leaderboard(params)],
    asset_checks=build_checks(params, STAGES),
    jobs=[*jobs, job_of_all],
    sensors=[new_images_sensor(jobs), killed_runs],
    schedules=[nightly_schedule(job_of_all)],
    executor=executor_of_run,
    loggers={"console": plain_console},
)
