"""The assets: one per benchmark and stage, made by calls into `datasetdm.pipeline` and nothing else.

Nothing travels between steps (every input and output is `Nothing`), so Dagster stores no file of its own:
what a stage reads and writes lies in `data/`.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    Backoff,
    DataVersion,
    DynamicOut,
    DynamicOutput,
    Failure,
    In,
    MaterializeResult,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    RetryPolicy,
    asset,
    graph_asset,
    op,
)

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import announcement, check_ready, finish_stage, run_unit
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.utils.devices import one_gpu
from datasetdm.utils.program import program
from datasetdm.utils.progress import say, working_on
from orchestration import dvc
from orchestration.history import look_after
from orchestration.metadata import describe
from orchestration.runs import RunPlans, open_run

# A full disk, a network share that went away, a worker that was killed: worth another try.
RETRIES = RetryPolicy(max_retries=2, delay=1, backoff=Backoff.EXPONENTIAL)


def build_assets(params: Params, stages: Mapping[str, Stage[Context]]) -> list[AssetsDefinition]:
    """One asset per benchmark and stage, named `<noun>_<benchmark>` and grouped by benchmark.

    Args:
        params: the settings; only the names of the benchmarks and the device are taken from them, as every run
            reads `params.yaml` when it begins (see `orchestration.runs`).
        stages: name -> stage, upstream first.
    """
    assets = []
    for benchmark in params.benchmarks:
        for stage in stages.values():
            upstream = [asset_name(step, benchmark) for step in stage.upstream]
            if stage.has_units:
                assets.append(_asset_of_units(stage, benchmark, upstream, params.device, stages.values()))
            else:
                assets.append(_plain_asset(stage, benchmark, upstream, stages.values()))
    return assets


def asset_name(stage: Stage[Context], benchmark: str) -> str:
    """The asset that a stage makes for a benchmark."""
    return f"{stage.asset}_{benchmark}"


@contextmanager
def readable_failures() -> Iterator[None]:
    """Retry only after trouble with files and workers; an error about bad input is shown as it is worded."""
    try:
        yield
    except DatasetDMError as error:
        raise Failure(description=str(error), allow_retries=False) from None
    except OSError:
        raise
    except Exception as error:
        raise Failure(description=f"{type(error).__name__}: {error}", allow_retries=False) from error


def _plain_asset(
    stage: Stage[Context], benchmark: str, upstream: list[str], chain: Collection[Stage[Context]]
) -> AssetsDefinition:
    """A stage that is one step."""

    @asset(**_labels(stage, benchmark), deps=upstream, retry_policy=RETRIES)
    def make(context: AssetExecutionContext) -> MaterializeResult:
        look_after(context.instance, context.run_id)
        _check_ready(context, benchmark, chain)
        with working_on(asset_name(stage, benchmark)):
            return _finish(stage, benchmark, context.run_id, RunPlans(stage, benchmark))

    return make


def _asset_of_units(
    stage: Stage[Context], benchmark: str, upstream: list[str], device: str, chain: Collection[Stage[Context]]
) -> AssetsDefinition:
    """A stage that is cut into units: those that are missing fan out, then the output is put together."""
    plans = RunPlans(stage, benchmark)
    plan = _plan_op(stage, benchmark, upstream, plans, chain)
    run_unit = _unit_op(stage, benchmark, device, plans)
    finish = _finish_op(stage, benchmark, plans)

    @graph_asset(**_labels(stage, benchmark), ins={name: AssetIn(dagster_type=Nothing) for name in upstream})
    def make(**inputs: Any) -> Any:
        return finish(units=plan(**inputs).map(lambda unit: run_unit(start=unit)).collect())

    return make


def _plan_op(
    stage: Stage[Context], benchmark: str, upstream: list[str], plans: RunPlans, chain: Collection[Stage[Context]]
) -> OpDefinition:
    @op(
        name=f"plan_{stage.name}_{benchmark}",
        description="The units that are missing.",
        ins={name: In(Nothing) for name in upstream},
        out=DynamicOut(Nothing),
        retry_policy=RETRIES,
    )
    def plan(context: OpExecutionContext) -> Iterator[DynamicOutput]:
        look_after(context.instance, context.run_id)
        _check_ready(context, benchmark, chain)
        with readable_failures():
            whole = plans.begin(context.run_id)
            keys = whole.missing()
        with working_on(asset_name(stage, benchmark)):
            say(announcement(stage, open_run(benchmark, context.run_id), whole, keys))
        for key in keys:
            yield DynamicOutput(None, mapping_key=_mapping_key(key))

    return plan


def _unit_op(stage: Stage[Context], benchmark: str, device: str, plans: RunPlans) -> OpDefinition:
    @op(
        name=f"unit_{stage.name}_{benchmark}",
        description="One unit; safe to repeat.",
        ins={"start": In(Nothing)},
        out=Out(Nothing),
        retry_policy=RETRIES,
        tags={"device": device},
    )
    def unit(context: OpExecutionContext) -> None:
        key = _unit_key(context)
        with readable_failures(), working_on(f"{asset_name(stage, benchmark)} {key}"):
            project, unit_of_plan = open_run(benchmark, context.run_id), plans.of(context.run_id)[key]
            with one_gpu(project.params.device):
                run_unit(stage, project, unit_of_plan)

    return unit


def _finish_op(stage: Stage[Context], benchmark: str, plans: RunPlans) -> OpDefinition:
    @op(
        name=f"finish_{stage.name}_{benchmark}",
        description="Checks the units, puts them together and publishes the output.",
        ins={"units": In(Nothing)},
        out=Out(Nothing),
        retry_policy=RETRIES,
    )
    def finish(context: OpExecutionContext) -> MaterializeResult:
        with working_on(asset_name(stage, benchmark)):
            return _finish(stage, benchmark, context.run_id, plans)

    return finish


def _check_ready(
    context: OpExecutionContext | AssetExecutionContext, benchmark: str, chain: Collection[Stage[Context]]
) -> None:
    """Fail in the first step of a run, not after hours, if the machine lacks what a later stage of this run needs."""
    nodes = context.job_def.graph.node_dict
    with readable_failures():
        selected = [stage for stage in chain if asset_name(stage, benchmark) in nodes]
        check_ready(selected, open_run(benchmark, context.run_id))


def _finish(stage: Stage[Context], benchmark: str, run_id: str, plans: RunPlans) -> MaterializeResult:
    """Publish the output and record it in `dvc.lock`; its DVC hash is Dagster's data version."""
    with readable_failures():
        context, plan = open_run(benchmark, run_id), plans.of(run_id)
        with _run_id_for_tracking(run_id):
            result = finish_stage(stage, context, plan)
        plans.forget(run_id)
        output = stage.output(context)
        md5 = dvc.commit(stage.name, benchmark, output)
        say(f"published in {output}")
        return MaterializeResult(metadata=describe(result, output, md5), data_version=DataVersion(md5))


@contextmanager
def _run_id_for_tracking(run_id: str) -> Iterator[None]:
    """`datasetdm.tracking` tags what it logs with the environment's `DAGSTER_RUN_ID`."""
    os.environ["DAGSTER_RUN_ID"] = run_id
    try:
        yield
    finally:
        del os.environ["DAGSTER_RUN_ID"]


def _mapping_key(key: str) -> str:
    """The key of a unit (`both/0`) as Dagster allows it: letters, digits and underscores."""
    return key.replace("/", "__")


def _unit_key(context: OpExecutionContext) -> str:
    """The unit that a step stands for."""
    return str(context.get_mapping_key()).replace("__", "/")


def _labels(stage: Stage[Context], benchmark: str) -> dict[str, Any]:
    """What the asset is called and shown as."""
    return {
        "name": asset_name(stage, benchmark),
        "group_name": benchmark,
        "code_version": stage.code_version,
        "description": f"{stage.description}\n\nBy hand: `{program()} {stage.name} {benchmark}`.",
        "kinds": {"dvc", "pytorch" if stage.has_units else "python"},
    }
