"""Which versions of a registered model have the aliases `champion` and `challenger`, and why.

The rule: the best figure on the dev set wins; the second best challenges. Figures on test images have no say, as they
are there to judge the choice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mlflow

from datasetdm.tracking.registry import CHAMPION
from datasetdm.tracking.store import open_store

CHALLENGER = "challenger"
RANK = "rank"  # the tag of a version that says why it has its alias, or none


def promote(
    name: str, metric: str, *, higher_is_better: bool = True, among: Mapping[str, str] | None = None
) -> str | None:
    """Move `champion` to the version whose run has the best `metric`, and `challenger` to the second best.

    Among equals the newest is the best. `challenger` is removed if there is no second one. The tag `rank` of every
    version that took part says which place it has, and with which figure.

    Args:
        name: name in the registry.
        metric: a metric of the runs that made the versions, measured on dev, e.g. `dev/mask_ap`.
        higher_is_better: False for errors.
        among: only versions whose run has these tags count, such as the dev set that judged it: scores on different
            sets cannot be ranked.

    Returns:
        The champion's version; None if no version has the metric (dev may contain nothing to measure).
    """
    with open_store():
        client = mlflow.MlflowClient()
        entries = client.search_model_versions(f"name='{name}'")
        ranked = _ranked(client, entries, metric, 1 if higher_is_better else -1, among or {})
        if not ranked:
            return None
        for entry in entries:
            if RANK in entry.tags:  # of an earlier choice
                client.delete_model_version_tag(name, entry.version, RANK)
        for place, (version, score) in enumerate(ranked, 1):
            client.set_model_version_tag(name, version, RANK, f"{place} of {len(ranked)}: {metric} {score:.4g}")
        _give(client, name, CHAMPION, ranked[0][0])
        _give(client, name, CHALLENGER, ranked[1][0] if len(ranked) > 1 else None)
        best = "highest" if higher_is_better else "lowest"
        client.update_registered_model(
            name,
            f"`{CHAMPION}` is the version with the {best} `{metric}`, `{CHALLENGER}` the second. All were judged on "
            f"the same dev images; figures on test images have no say. The tag `{RANK}` gives the place of a version.",
        )
        return ranked[0][0]


def _ranked(
    client: mlflow.MlflowClient, entries: Sequence[Any], metric: str, sign: int, among: Mapping[str, str]
) -> list[tuple[str, float]]:
    """Versions with their figure, the best first; the newest first among equals."""
    found = []
    for entry in entries:
        run = client.get_run(entry.run_id).data
        if metric in run.metrics and among.items() <= run.tags.items():
            found.append((str(entry.version), float(run.metrics[metric])))
    return sorted(found, key=lambda version: (sign * version[1], int(version[0])), reverse=True)


def _give(client: mlflow.MlflowClient, name: str, alias: str, version: str | None) -> None:
    if version is not None:
        client.set_registered_model_alias(name, alias, version)
    elif alias in client.get_registered_model(name).aliases:  # of other runs, or now the champion
        client.delete_registered_model_alias(name, alias)
