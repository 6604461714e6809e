"""The settings of the sources of prompts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, **prompts: Any):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["benchmarks"]["coco"]["prompts"] = {"num_prompts": 10, **prompts}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return load_params(file).benchmark("coco").prompts


def test_templates_are_the_default(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.source, settings.language_model, settings.files) == ("templates", None, None)


def test_a_block_that_the_source_does_not_use_is_allowed(tmp_path: Path) -> None:
    settings = load(tmp_path, language_model={}, files="~/prompts")
    assert settings.language_model is not None and settings.files == Path.home() / "prompts"
    assert load(tmp_path, source="language_model", language_model={"instruction": "~/i.txt"}, files="x").source


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ({"source": "files"}, "prompts.files is missing, but prompts.source is 'files'"),
        ({"source": "language_model"}, "prompts.language_model is missing, but prompts.source is 'language_model'"),
        ({"source": "gpt"}, "prompts.source is 'gpt'; choose one of 'templates', 'language_model', 'files'"),
        ({"files": " "}, "prompts.files is empty"),
        (
            {"language_model": {"base_url": "http://x/v1"}},
            "language_model.base_url is set, but backend is 'transformers'",
        ),
        ({"language_model": {"backend": "openai", "base_url": "x:1"}}, "has to begin with http:// or https://"),
        ({"language_model": {"backend": "openai", "form": "completion"}}, "form is 'completion', but an endpoint"),
        ({"language_model": {"backend": "vllm"}}, "backend is 'vllm'; choose one of 'transformers', 'openai'"),
        (
            {"language_model": {"api_key_name": "KEY"}},
            "language_model.api_key_name is not a setting",
        ),
        ({"language_model": {"temperature": 0}}, "temperature is 0; it has to be above 0"),
        ({"language_model": {"lines_per_answer": 0}}, "lines_per_answer is 0; it has to be above 0"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, prompts: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetDMError) as error:
        load(tmp_path, **prompts)
    assert f"benchmarks.coco.{'prompts' if 'prompts' in says else ''}" in str(error.value) and says in str(error.value)


@pytest.mark.parametrize(
    "block",
    [
        {"backend": "openai", "api_key_variable": "sk-proj-SECRET"},
        {"backend": "openai", "base_url": "https://me:SECRET@host/v1"},
        {"api_key": "sk-SECRET"},
    ],
)
def test_a_key_in_the_settings_is_refused_and_not_repeated(tmp_path: Path, block: dict[str, str]) -> None:
    with pytest.raises(DatasetDMError) as error:
        load(tmp_path, language_model=block)
    assert "SECRET" not in str(error.value)
