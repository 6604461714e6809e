"""How long each kind of work takes on this machine: the code of the stages on a few images."""

from collections.abc import Callable, Mapping
from functools import cached_property

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.planning import adapt_probe, decoder_probe
from datasetdm.pipeline.planning.clock import now
from datasetdm.pipeline.planning.downstream_probe import DownstreamProbe
from datasetdm.pipeline.planning.rate import Rate, of_host
from datasetdm.pipeline.planning.rehearsal import Rehearsal
from datasetdm.pipeline.planning.synthesis_probe import SynthesisProbe
from datasetdm.pipeline.planning.work import Measure
from datasetdm.utils.program import program
from datasetdm.utils.progress import say


class Calibration:
    """The rates of a benchmark; each is measured when it is first asked for.

    Args:
        rehearsal: what is worked on.
    """

    def __init__(self, rehearsal: Rehearsal):
        self.rehearsal = rehearsal
        self._known: dict[Measure, Rate | str] = {}

    def rate(self, measure: Measure) -> Rate:
        """What one piece of this work takes.

        Raises:
            DatasetDMError: it cannot be measured, as weights or data are missing; the same each time.
        """
        if measure not in self._known:
            try:
                self._known[measure] = _PROBES[measure](self)
            except DatasetDMError as error:
                self._known[measure] = str(error)
        found = self._known[measure]
        if isinstance(found, str):
            raise DatasetDMError(found)
        return found

    @property
    def known(self) -> dict[Measure, Rate]:
        """What was measured so far."""
        return {measure: found for measure, found in self._known.items() if isinstance(found, Rate)}

    @cached_property
    def synthesis(self) -> SynthesisProbe:
        """What is measured with drawn images."""
        return SynthesisProbe(self.rehearsal)

    @cached_property
    def downstream(self) -> DownstreamProbe:
        """What is measured of the downstream model."""
        return DownstreamProbe(self.rehearsal, self.synthesis.spliced_set)


def _prompts(calibration: Calibration) -> Rate:
    """A prompt of templates or files."""
    rehearsal = calibration.rehearsal
    if rehearsal.context.settings.prompts.source == "language_model":
        name = rehearsal.context.benchmark
        raise DatasetDMError(f"`{program()} prompts preview {name}` says what asking the language model takes.")
    categories = len(rehearsal.task.subjects)  # the images are ingested first, which does not count
    say(f"writing prompts for {categories} categories")
    began = now()
    count = len(rehearsal.prompts)
    return of_host((now() - began) / count)


def _iteration_with_splices(calibration: Calibration) -> Rate:
    """An iteration on splices; without a diffusion model there are none, and labelled images stand in for them."""
    try:
        return calibration.downstream.iteration_with_splices
    except DatasetDMError:
        return calibration.downstream.iteration


_PROBES: Mapping[Measure, Callable[[Calibration], Rate]] = {
    Measure.RENDER: lambda calibration: calibration.rehearsal.ingested[1][Measure.RENDER],
    Measure.OPEN: lambda calibration: calibration.rehearsal.ingested[1][Measure.OPEN],
    Measure.COPY: lambda calibration: calibration.rehearsal.ingested[1][Measure.COPY],
    Measure.ADAPT: lambda calibration: adapt_probe.steps(calibration.rehearsal),
    Measure.WRITE_PROMPTS: _prompts,
    Measure.VIEW: lambda calibration: decoder_probe.views(calibration.rehearsal),
    Measure.STEP: lambda calibration: decoder_probe.iterations(calibration.rehearsal),
    Measure.READ: lambda calibration: decoder_probe.reading(calibration.rehearsal),
    Measure.DRAW: lambda calibration: calibration.synthesis.drawing,
    Measure.ANNOTATE: lambda calibration: calibration.synthesis.annotating,
    Measure.SPLICE: lambda calibration: calibration.synthesis.splicing,
    Measure.CHECK: lambda calibration: calibration.synthesis.checking,
    Measure.FIGURE: lambda calibration: calibration.synthesis.figures,
    Measure.START: lambda calibration: calibration.downstream.start,
    Measure.TRAIN: lambda calibration: calibration.downstream.iteration,
    Measure.TRAIN_SPLICED: _iteration_with_splices,
    Measure.JUDGE: lambda calibration: calibration.downstream.judging,
}
