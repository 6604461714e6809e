"""MLflow's old runs; see `datasetdm.tracking.clean_up`."""

from datasetdm.pipeline.pruning.findings import Findings, Item
from datasetdm.tracking import clean_up
from datasetdm.tracking.clean_up import OldRun

ON_THE_SERVER = (
    "The store is a server's (MLFLOW_TRACKING_URI), so runs are set aside only. To remove them for good, name the "
    "server's database, too: MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://..."
)


def find_runs(days: float) -> Findings:
    """The runs that are set aside now, and those that were set aside earlier and are removed for good.

    Args:
        days: how long a run stays after it has ended, and again after it was set aside.

    Raises:
        DatasetDMError: the store cannot be reached.
    """
    replaced = clean_up.replaced_runs(days)
    removable = clean_up.removable_runs(days) if clean_up.can_remove() else []

    def remove() -> list[str]:
        clean_up.remove_for_good(removable)
        clean_up.set_aside(replaced)
        return []

    items = [_item(run, "removed for good") for run in removable]
    items += [_item(run, "set aside, which frees nothing yet", frees=False) for run in replaced]
    return Findings(part="mlflow", items=items, notes=[] if clean_up.can_remove() else [ON_THE_SERVER], remove=remove)


def _item(run: OldRun, what: str, *, frees: bool = True) -> Item:
    return Item(name=f"{run.name} {run.run_id}", why=f"{run.why}; {what}", size=run.size if frees else 0)
