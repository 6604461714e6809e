"""What was promised of the labels, and on what evidence, in sentences."""

from collections.abc import Mapping

from datasetdm.calibration.calibration import Calibration


def promise_text(calibrations: Mapping[str, Calibration]) -> str:
    """A sentence or two on the promise that the accepted labels of each seed keep.

    Args:
        calibrations: by the name of the set, such as `seed_0`; all with a chosen threshold, and at least one.
    """
    first = next(iter(calibrations.values()))
    return (
        f"Of the labels of an accepted image, on average at least {100 * first.target_precision:.0f} % are right. This "
        f"holds with a confidence of {100 * first.confidence:.0f} % for images like those of dev. Drawn images may "
        "differ from them, and then it may not hold. "
        + " ".join(_evidence(name, calibration) for name, calibration in calibrations.items())
    )


def _evidence(name: str, calibration: Calibration) -> str:
    chosen = calibration.chosen
    assert chosen is not None
    return (
        f"{name}: {chosen.images} of {calibration.tested} dev images pass with a calibrated confidence of "
        f"{chosen.threshold:g} or more; {100 * chosen.precision:.1f} % of their {chosen.parts} labels are right."
    )
