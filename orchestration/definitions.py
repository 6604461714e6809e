"""What Dagster loads: the assets, checks and jobs of every benchmark in `params.yaml`."""

from dagster import Definitions

from datasetdm.config import load_params
from datasetdm.pipeline.stages import STAGES
from orchestration.assets import build_assets
from orchestration.checks import build_checks
from orchestration.console import plain_console
from orchestration.jobs import build_job, executor
from orchestration.leaderboard import build_leaderboard

params = load_params()

defs = Definitions(
    assets=[*build_assets(params, STAGES), build_leaderboard(params)],
    asset_checks=build_checks(params, STAGES),
    jobs=[build_job(benchmark) for benchmark in params.benchmarks],
    executor=executor,
    loggers={"console": plain_console},
)
