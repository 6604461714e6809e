"""The benchmark of the rivals: its settings are valid, and its table says what the file of figures has."""

from pathlib import Path

import pytest

from benchmarks.rivals import ARMS, VARIANTS, parse_arguments, table, variant_of
from datasetdm.decoder_methods import METHODS
from datasetdm.reports.paper import RIVALS


@pytest.mark.parametrize("benchmark", ["voc", "voc_zero_shot", "coco"])
def test_every_method_is_a_copy_of_the_benchmark_with_a_few_other_settings(benchmark: str) -> None:
    assert set(VARIANTS) == set(METHODS)
    contexts = {name: variant_of(parse_arguments([benchmark, "--seeds", "3", "4"]), name) for name in VARIANTS}
    for name, context in contexts.items():
        assert context.settings.decoder.method == name and context.seeds == (3, 4)
        assert context.settings.experiment.arms == ARMS
        assert context.paths.data == Path("data/rivals") and context.benchmark == f"{benchmark}_{name}"
        same = ("task", "source", "ingest", "prompts", "augmentation", "downstream", "experiment")
        for section in same:
            assert getattr(context.settings, section) == getattr(contexts["p_decoder"].settings, section)
        for field in ("sampler", "seed", "num_images", "batch_size", "shard_size"):
            own, others = (getattr(one.settings.synthesis, field) for one in (context, contexts["p_decoder"]))
            assert own == others  # the same images are drawn
    assert contexts["cross_attention"].settings.synthesis.cross_validation is not None
    assert contexts["p_decoder"].settings.synthesis.cross_validation is None


def seeds(*values: float) -> dict[str, float]:
    return {str(seed): value for seed, value in enumerate(values)}


def test_the_table_has_our_figures_and_the_papers() -> None:
    def scores(harmonic: float) -> dict[str, dict[str, float]]:
        return {
            "miou": seeds(0.3, 0.3),
            "miou_seen": seeds(0.4, 0.4),
            "miou_unseen": seeds(0.2, 0.2),
            "miou_harmonic": seeds(harmonic, harmonic + 0.02),
        }

    measured = {
        "headline": ["miou", "miou_seen", "miou_unseen", "miou_harmonic"],
        "test": {
            "baseline": {"real": scores(0.0)},
            "grounding": {"synthetic": scores(0.25), "both": scores(0.3)},
            "self_attention": {"both": scores(0.2)},
        },
    }
    lines = table("voc_zero_shot", measured).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    assert [row[:3] for row in rows] == [
        ["-", "real", "2"],
        ["grounding module, after Li et al.", "synthetic", "2"],
        ["grounding module, after Li et al.", "both", "2"],
        ["self-attention, after Dataset Diffusion", "both", "2"],
    ]
    assert rows[0][6:] == ["1.0 ± 1.4", "+0.0 (+0.0, +0.0)", "61.3", "10.7", "18.3"]
    assert rows[2][6] == "31.0 ± 1.4" and rows[2][7].startswith("+30.0") and rows[2][8:] == ["62.8", "50.0", "55.7"]
    assert rows[1][8:] == rows[3][8:] == ["-", "-", "-"]
    assert "arXiv 2308.06160" in lines[-1]
    assert table("voc", {}) == "No method of voc has been compared yet."


def test_the_papers_harmonic_means_fit_its_other_figures() -> None:
    for method in RIVALS["voc_zero_shot"].values():
        for figures in method.values():
            seen, unseen, harmonic = (figures[f"miou_{kind}"] for kind in ("seen", "unseen", "harmonic"))
            assert harmonic == pytest.approx(2 * seen * unseen / (seen + unseen), abs=1.1e-3)
