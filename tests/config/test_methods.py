"""The method that reads labels: which go with which task, and what records say of it."""

from pathlib import Path

import pytest

from datasetdm import config
from datasetdm.config import load_params
from datasetdm.config.benchmark import disagreements
from datasetdm.decoder_methods import METHODS

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def problems(name: str, method: str, **synthesis: object) -> list[str]:
    block = PARAMS.benchmark(name)
    sections = {field: getattr(block, field) for field in ("task", "synthesis")}
    sections["decoder"] = block.decoder.model_copy(update={"method": method, "reading": None})
    sections["synthesis"] = block.synthesis.model_copy(update=synthesis)
    return [one for one in disagreements(sections) if "method" in one]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["coco", "voc", "voc_zero_shot", "nyu", "coco_pose"])
def test_masks_of_words_serve_instances_and_maps_of_categories(name: str, method: str) -> None:
    found = problems(name, method)
    if method == "p_decoder" or not name.startswith(("nyu", "coco_pose")):
        assert found == []
    else:
        (problem,) = found
        assert method in problem and "'instance' and 'semantic'" in problem and "p_decoder" in problem


def test_self_attention_is_read_after_the_image_is_drawn() -> None:
    assert problems("voc", "cross_attention", extraction="last_step") == []
    (problem,) = problems("voc", "self_attention", extraction="last_step")
    assert "renoised" in problem


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'p_decoder', 'grounding', 'cross_attention', 'self_attention'"):
        config.Decoder(method="magic")


def test_records_of_the_p_decoder_stay_what_they_were() -> None:
    assert "method" not in config.Decoder().model_dump()
    own = config.Decoder(method="grounding")
    assert own.model_dump()["method"] == "grounding" and config.Decoder.model_validate(own.model_dump()) == own
    synthesis = PARAMS.benchmark("voc").synthesis
    assert "cross_validation" not in synthesis.model_dump(mode="json")
    validated = config.Synthesis.model_validate(synthesis.model_dump() | {"cross_validation": {"folds": 2}})
    assert validated.model_dump()["cross_validation"] == {"folds": 2, "reject": 0.2, "iterations": None}


def test_rounds_and_cross_validation_exclude_each_other() -> None:
    synthesis = PARAMS.benchmark("voc").synthesis.model_dump()
    with pytest.raises(ValueError, match="set rounds to 1"):
        config.Synthesis.model_validate(synthesis | {"rounds": 2, "cross_validation": {}})
