"""Cards: metadata that the Hub reads, figures with their intervals, and licences that nobody has stated."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard

from datasetdm.cli import main
from datasetdm.pipeline.publication.licences import Licence, hub_fields

OUT = Path("published")


@pytest.fixture
def cards(drawn: Path):
    """Publishes with these settings; returns the cards."""

    def publish(**publication: object) -> dict[str, ModelCard]:
        content = yaml.safe_load(Path("params.yaml").read_text())
        content["benchmarks"]["coco"]["publication"] = publication
        Path("params.yaml").write_text(yaml.safe_dump(content))
        assert main(["publish", "coco", "--out", str(OUT)]) == 0
        found = {name: ModelCard.load(OUT / name / "README.md") for name in ("p_decoder", "downstream")}
        return {"dataset": DatasetCard.load(OUT / "dataset/README.md"), **found}

    return publish


def test_the_data_card_says_what_a_user_has_to_know(cards, capsys) -> None:
    card = cards()["dataset"]
    data, text = card.data, card.text
    assert data.license == "unknown" and data.task_categories == ["image-segmentation"]
    assert data.size_categories == ["n<1K"] and data.configs[0]["data_files"][0]["path"] == "train/**"
    assert "3 drawn, 2 accepted (67 %)" in text and "| `mask` |" in text and "| 1 | traffic light | 17 |" in text
    assert "| 2 |\n\n- both - real: mIoU +9.5" in text and "95 % interval" in text and "| both | 31.5 ± 2.1 |" in text
    assert "On real dev images the P-Decoder reaches mIoU (%) 20.0" in text
    assert "was not stated by who published this" in text and "apache-2.0 (as its model card says)" in text
    assert "cannot look like the real ones: miniworld draws the embedded world" in text
    assert "datasetdm reproduce coco 000000.png" in text and "of initialisation: 0, 1;" in text
    assert "{{" not in text and "None" not in text and "\n\n\n" not in text


def test_model_cards_have_the_figures_of_their_own_seed(cards) -> None:
    found = cards()
    decoder, downstream = found["p_decoder"].data, found["downstream"].data
    values = {one.metric_type: one.metric_value for one in downstream.eval_results}
    assert values == {"miou": 0.33} and downstream.eval_results[0].dataset_split == "test"
    assert [one.metric_value for one in decoder.eval_results] == [0.17]
    assert downstream.pipeline_tag == "image-segmentation" and "arm `both`" in found["downstream"].text
    assert "| mIoU (%) | 34.0 | 33.0 |" in found["downstream"].text


def test_stated_licences_stand_in_all_cards(cards, capsys) -> None:
    found = cards(license="Toy Licence 2", generator_license="creativeml-openrail-m", real_license="cc-by-nc-4.0")
    assert "licence" not in capsys.readouterr().err
    for card in found.values():
        assert card.data.license == "other" and card.data.to_dict()["license_name"] == "toy-licence-2"
        assert "| Toy Licence 2 |" in card.text and "creativeml-openrail-m" in card.text
        assert "*unknown*" not in card.text


def test_licences_that_the_hub_knows_are_its_identifiers() -> None:
    assert hub_fields(Licence("CC-BY-4.0")) == {"license": "cc-by-4.0"}
    assert hub_fields(Licence("openrail++")) == {"license": "openrail++"}


def test_without_models_and_comparison_the_cards_say_so(drawn: Path) -> None:
    import shutil

    shutil.rmtree("data/reports")
    shutil.rmtree("data/downstream")
    assert main(["publish", "coco", "--out", str(OUT)]) == 0
    assert not (OUT / "downstream").exists()
    assert "whether these images help is not known" in (OUT / "dataset/README.md").read_text()
    assert ModelCard.load(OUT / "p_decoder/README.md").data.eval_results[0].dataset_split == "dev"
