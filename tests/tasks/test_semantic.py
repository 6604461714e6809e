from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasetdm import config
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import NOT_FOUND
from datasetdm.tasks.drawing import palette
from datasetdm.tasks.losses.set_loss import SetLoss
from datasetdm.tasks.semantic import SemanticTask
from datasetdm.transforms.geometry import resize_matrix

CATEGORIES = tuple(Category(id=number, name=name) for number, name in enumerate(("background", "box", "disc", "star")))
TASK = SemanticTask(CATEGORIES)
SIZE = (24, 32)
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
LABELS = st.sampled_from([0, 1, 2, 3, IGNORE])
MAPS = st.builds(
    lambda labels, certainty: SemanticMap(labels=labels, certainty=certainty),
    hnp.arrays(np.uint8, (6, 8), elements=LABELS),
    hnp.arrays(np.float32, (6, 8), elements=st.floats(0, 1, width=32)),
)


def scene() -> SemanticMap:
    """Background with a box and a disc, and a strip of which nothing is known."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[2:12, 2:14], labels[10:22, 16:28], labels[:, 30:] = 1, 2, IGNORE
    return SemanticMap.of(labels)


def assert_same(first: SemanticMap, second: SemanticMap) -> None:
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.certainty, second.certainty)


def synthesis(**values: object) -> config.Synthesis:
    return config.Synthesis.model_validate({"num_images": 1, **values})


def task_with(**values: object) -> SemanticTask:
    return SemanticTask(CATEGORIES, config.SemanticAnnotation.model_validate(values))


# --- words and settings


def test_the_background_is_no_subject_but_words_stay_in_label_order() -> None:
    assert [category.name for category in TASK.subjects] == ["box", "disc", "star"]
    assert TASK.words == ("background", "box", "disc", "star")
    assert TASK.settings == config.SemanticAnnotation()


def test_unknown_names_in_the_settings_are_refused() -> None:
    assert (task_with(unseen=("star", "box")).unseen, task_with(tail=("disc",)).tail) == ([3, 1], [2])
    for setting in ("unseen", "tail"):
        with pytest.raises(DatasetDMError, match=rf"params\.yaml: task\.{setting} names sofa, .*box, disc"):
            task_with(**{setting: ("box", "sofa")})
    with pytest.raises(DatasetDMError, match="256 categories"):
        SemanticTask([Category(id=number, name=str(number)) for number in range(256)])


def test_unseen_categories_are_hidden_and_the_rest_is_shown() -> None:
    target = scene()
    shown = task_with(unseen=("disc",)).shown(target)
    np.testing.assert_array_equal(shown.labels == IGNORE, (target.labels == 2) | (target.labels == IGNORE))
    assert (shown.labels[target.labels == 1] == 1).all()
    assert_same(TASK.shown(target), target)


# --- geometry


@given(MAPS)
@settings(max_examples=30, deadline=None)
def test_identity_changes_nothing(target: SemanticMap) -> None:
    assert_same(TASK.warp(target, IDENTITY, (6, 8)), target)


@given(MAPS, st.booleans())
@settings(max_examples=30, deadline=None)
def test_two_mirrorings_undo_each_other(target: SemanticMap, upright: bool) -> None:
    matrix = np.array([[1.0, 0, 0], [0, -1, 5]]) if upright else np.array([[-1.0, 0, 7], [0, 1, 0]])
    once = TASK.warp(target, matrix, (6, 8))
    np.testing.assert_array_equal(once.labels, np.flip(target.labels, axis=0 if upright else 1))
    assert_same(TASK.warp(once, matrix, (6, 8)), target)


@given(MAPS, st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=30, deadline=None)
def test_shifts_carry_certainty_along_and_uncover_ignored_pixels(target: SemanticMap, right: int, down: int) -> None:
    moved = TASK.warp(target, np.array([[1.0, 0, right], [0, 1, down]]), (6, 8))
    for row in range(6):
        for column in range(8):
            y, x = row - down, column - right
            inside = 0 <= y < 6 and 0 <= x < 8
            assert moved.labels[row, column] == (target.labels[y, x] if inside else IGNORE)
            assert moved.certainty[row, column] == (target.certainty[y, x] if inside else 0)


def test_warp_follows_the_image() -> None:
    """Each category is moved as a picture of it is."""
    target = scene()
    matrix = cv2.getRotationMatrix2D((16, 12), 30, 1.5)
    warped = TASK.warp(target, matrix, (40, 50)).labels
    for label in (0, 1, 2):
        picture = cv2.warpAffine((target.labels == label).astype(np.float32), matrix, (50, 40))
        assert (warped[picture > 0.95] == label).all()
        assert not (warped[picture < 0.05] == label).any()


def test_resizing_up_and_down_is_exact() -> None:
    target = scene()
    large = TASK.warp(target, resize_matrix(SIZE, (72, 96)), (72, 96))
    np.testing.assert_array_equal(large.labels, target.labels.repeat(3, axis=0).repeat(3, axis=1))
    assert_same(TASK.warp(large, resize_matrix((72, 96), SIZE), SIZE), target)


@given(MAPS, MAPS)
@settings(max_examples=30, deadline=None)
def test_merging_takes_the_first_that_knows(first: SemanticMap, second: SemanticMap) -> None:
    merged = TASK.merge([first, second])
    known = first.labels != IGNORE
    for part, where in ((first, known), (second, ~known)):
        np.testing.assert_array_equal(merged.labels[where], part.labels[where])
        np.testing.assert_array_equal(merged.certainty[where], part.certainty[where])
    assert_same(TASK.merge([first]), first)


@given(MAPS, MAPS, st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_pasted_categories_are_whole_and_all_else_stays(below: SemanticMap, above: SemanticMap, seed: int) -> None:
    result = TASK.pasted(below, above, np.random.default_rng(seed))
    foreground = {*np.unique(above.labels).tolist()} - {0, IGNORE}
    if result is None:
        assert not foreground
        return
    region, joint = result
    pasted = {*np.unique(above.labels[region]).tolist()}
    assert pasted and pasted <= foreground
    np.testing.assert_array_equal(region, np.isin(above.labels, [*pasted]))
    np.testing.assert_array_equal(joint.labels, np.where(region, above.labels, below.labels))
    np.testing.assert_array_equal(joint.certainty, np.where(region, above.certainty, below.certainty))


# --- learning


def outputs_of(target: SemanticMap, size: tuple[int, int], queries: int = 6) -> dict[str, torch.Tensor]:
    """What a perfect decoder would put out, in an order of its own."""
    encoded = TASK.encode(target, size)
    logits = torch.full((1, queries, len(CATEGORIES) + 1), -10.0)
    logits[..., -1] = 10
    masks = torch.full((1, queries, *size), -30.0)
    for index, (mask, label) in enumerate(zip(encoded["masks"], encoded["labels"].tolist(), strict=True)):
        logits[0, queries - 1 - index, label], logits[0, queries - 1 - index, -1] = 10, -10
        masks[0, queries - 1 - index] = 60 * mask.float() - 30
    return {"pred_logits": logits, "pred_masks": masks, "aux_outputs": []}


@pytest.mark.parametrize("size", [SIZE, (12, 16), (48, 64)])
def test_what_is_known_of_a_cell_is_shared_among_its_categories(size: tuple[int, int]) -> None:
    encoded = TASK.encode(scene(), size)
    assert encoded["labels"].tolist() == [0, 1, 2]
    assert encoded["masks"].shape == (3, *size)
    total = encoded["masks"].float().sum(dim=0)
    torch.testing.assert_close(total[encoded["valid"]], torch.ones_like(total[encoded["valid"]]), atol=2e-3, rtol=0)
    assert (total[~encoded["valid"]] == 0).all()
    assert float(encoded["valid"].float().mean()) == pytest.approx(30 / 32)


def test_a_map_of_which_nothing_is_known_teaches_nothing() -> None:
    encoded = TASK.encode(SemanticMap.of(np.full(SIZE, IGNORE)), (12, 16))
    assert encoded["masks"].shape == (0, 12, 16)
    assert len(encoded["labels"]) == 0
    assert not encoded["valid"].any()
    losses = TASK.loss(outputs_of(scene(), (12, 16)), [encoded])
    assert float(losses["loss_mask"]) == float(losses["loss_dice"]) == 0


def test_perfect_outputs_have_hardly_any_loss() -> None:
    target = scene()
    losses = TASK.loss(outputs_of(target, SIZE), [TASK.encode(target, SIZE)])
    assert set(losses) == {"loss_ce", "loss_mask", "loss_dice"}
    assert float(sum(losses.values())) < 0.05


def test_ignored_pixels_are_not_learnt() -> None:
    """Neither the loss nor its gradient depends on what is predicted there."""
    target = TASK.encode(scene(), SIZE)
    ignored = ~target["valid"]
    seen = []
    for noise in (0.0, 50.0):
        outputs = outputs_of(scene(), SIZE)
        masks = outputs["pred_masks"] / 20 + noise * torch.randn(SIZE) * ignored
        outputs["pred_masks"] = masks.requires_grad_()
        torch.manual_seed(0)
        losses = TASK.loss(outputs, [target])
        sum(losses.values()).backward()
        assert (masks.grad[..., ignored] == 0).all()
        assert masks.grad[..., ~ignored].abs().sum() > 0
        seen.append(losses)
    for term in seen[0]:
        torch.testing.assert_close(seen[0][term], seen[1][term])


def test_a_target_that_is_valid_all_over_costs_what_one_without_the_mark_does() -> None:
    target = TASK.encode(SemanticMap.of(scene().labels % IGNORE), SIZE)
    assert target["valid"].all()
    single = outputs_of(scene(), SIZE)
    masks = single["pred_masks"] / 20 + torch.randn(2, 6, *SIZE)
    outputs = {"pred_logits": single["pred_logits"].expand(2, -1, -1), "pred_masks": masks, "aux_outputs": []}
    unmarked = {key: target[key] for key in ("masks", "labels")}
    terms = []
    for marked in ([target, target], [unmarked, unmarked], [unmarked, target]):
        torch.manual_seed(0)
        terms.append(SetLoss()(outputs, marked))
    for term in terms[0]:
        torch.testing.assert_close(terms[0][term], terms[1][term])
        torch.testing.assert_close(terms[0][term], terms[2][term])


def test_encoding_and_decoding_come_back() -> None:
    target = scene()
    (prediction,) = TASK.decode(outputs_of(target, SIZE), SIZE)
    known = target.labels != IGNORE
    np.testing.assert_array_equal(prediction.target.labels[known], target.labels[known])
    assert prediction.target.certainty[known].min() > 0.99
    assert prediction.score > 0.99
    evaluator = TASK.evaluator()
    evaluator.add(target, prediction.target)
    assert evaluator.compute()["miou"] == 1


def test_masks_at_half_resolution_stay_close() -> None:
    target = scene()
    (prediction,) = TASK.decode(outputs_of(target, (12, 16)), SIZE)
    evaluator = TASK.evaluator()
    evaluator.add(target, prediction.target)
    assert evaluator.compute()["miou"] > 0.85


def test_probabilities_are_summed_over_queries() -> None:
    """Two unsure queries of one class outweigh a surer one of another; certainty is the share of the sum."""
    logits = torch.log(
        torch.tensor([[[0.02, 0.3, 0.08, 0.1, 0.5], [0.02, 0.3, 0.08, 0.1, 0.5], [0.1, 0.1, 0.5, 0.2, 0.1]]])
    )
    outputs = {"pred_logits": logits, "pred_masks": torch.zeros(1, 3, 2, 2), "aux_outputs": []}
    (prediction,) = TASK.decode(outputs, (4, 4))
    assert (prediction.target.labels == 1).all()  # 0.70 of 1.9 for the box, 0.66 for the disc
    assert prediction.score == pytest.approx(0.70 / 1.9, rel=1e-4)


def test_classes_absent_from_the_prompt_are_ruled_out_but_never_the_background() -> None:
    outputs = outputs_of(scene(), SIZE)
    outputs["pred_logits"] = outputs["pred_logits"] / 2
    free, bound, none = (TASK.decode(outputs, SIZE, allowed)[0].target for allowed in (None, [[1]], [[]]))
    assert {0, 1, 2} == set(free.labels[:, :30].ravel())
    assert {0, 1} == set(bound.labels.ravel())
    assert {0} == set(none.labels.ravel())
    assert TASK.decode(outputs, SIZE, [[]])[0].score == 0


def test_nothing_possible_is_ignored() -> None:
    """Without a background, a prompt that names nothing leaves no category; and no number comes of no number."""
    task = SemanticTask(CATEGORIES[1:])
    outputs = {"pred_logits": torch.zeros(1, 3, 4), "pred_masks": torch.zeros(1, 3, 6, 8), "aux_outputs": []}
    broken = {**outputs, "pred_masks": torch.full((1, 3, 6, 8), torch.nan)}
    for (prediction,) in (task.decode(outputs, (6, 8), [[]]), task.decode(broken, (6, 8))):
        assert (prediction.target.labels == IGNORE).all()
        assert (prediction.target.certainty == 0).all()
        assert prediction.score == 0
        assert task.accept(prediction, synthesis()).rejected == "nothing but background or ignored pixels"


def test_the_decoder_learns_a_scene_end_to_end() -> None:
    torch.manual_seed(0)
    info = (FeatureLevel(16, 8, 1), FeatureLevel(8, 8, 0), FeatureLevel(4, 8, 0))
    side, target = 64, SemanticMap.of(scene().labels.repeat(3, axis=0)[:64].repeat(2, axis=1))
    features = DiffusionFeatures(
        maps={level.stride: torch.randn(2, 8, side // level.stride, side // level.stride) for level in info},
        attention={16: torch.rand(2, len(TASK.words), 1, 4, 4)},
    )
    small = config.Decoder(hidden_dim=32, num_queries=6, num_layers=2, num_heads=4, feedforward_dim=64)
    decoder = PDecoder(info, len(TASK.words), small, num_classes=4, uses_queries=True, dense_channels=0)
    decoder.calibrate(features)
    targets = [TASK.encode(target, (32, 32))] * 2
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(TASK.loss(decoder(features), targets).values()).backward()
        optimizer.step()
    evaluator = TASK.evaluator()
    for prediction in TASK.decode(decoder.eval()(features), (side, side)):
        evaluator.add(target, prediction.target)
        assert TASK.accept(prediction, synthesis()).rejected is None
    assert evaluator.compute()["miou"] > 0.8


# --- judging


def predicted(certainty: float, box: float = 1.0) -> Prediction:
    """The scene as a prediction; the box with a certainty of its own, all else with the same."""
    target = scene()
    values = np.where(target.labels == 1, box, certainty).astype(np.float32)
    return Prediction(target=SemanticMap(labels=target.labels, certainty=values), score=certainty)


def test_filters_and_their_reasons() -> None:
    accepted = TASK.accept(predicted(0.9), synthesis(score_threshold=0.5))
    assert accepted.rejected is None
    assert_same(accepted.target, predicted(0.9).target)
    assert accepted.scores == {
        "score": 0.9,
        "num_categories": 2,
        "covered_area": pytest.approx((120 + 144) / 768),
        "ignored_area": pytest.approx(2 / 32),
    }
    unsure = TASK.accept(predicted(0.4), synthesis(score_threshold=0.5))
    assert unsure.rejected == "mean certainty below the score threshold"
    background = SemanticMap.of(np.zeros(SIZE, dtype=np.uint8))
    nothing = TASK.accept(Prediction(target=background, score=0.0), synthesis(score_threshold=0))
    assert nothing.rejected == "nothing but background or ignored pixels"
    assert nothing.scores["num_categories"] == nothing.scores["covered_area"] == 0


def test_what_the_prompt_names_has_to_be_found() -> None:
    choosy = synthesis(require_prompted=True)
    assert TASK.accept(predicted(0.9), choosy, {1: 2}).rejected is None
    assert TASK.accept(predicted(0.9), choosy, {len(TASK.categories) + 1: None}).rejected == NOT_FOUND


def test_uncertain_pixels_and_small_categories_are_ignored() -> None:
    unsure = task_with(min_certainty=0.5).accept(predicted(0.9, box=0.3), synthesis())
    assert unsure.rejected is None
    np.testing.assert_array_equal(unsure.target.labels, np.where(scene().labels == 1, IGNORE, scene().labels))
    assert unsure.scores["num_categories"] == 1
    small = TASK.accept(predicted(0.9), synthesis(min_area=130 / 768))  # the box has 120 pixels
    np.testing.assert_array_equal(small.target.labels, unsure.target.labels)
    assert TASK.accept(predicted(0.9), synthesis(min_area=1.0)).rejected is not None
    assert (TASK.accept(predicted(0.9), synthesis(min_area=1.0)).target.labels[scene().labels == 0] == 0).all()


def test_only_pixels_that_a_teacher_is_certain_of_are_labels() -> None:
    found = predicted(0.9, box=0.3).target
    sure = TASK.trusted(found, 0.5, synthesis(score_threshold=1.0))  # the threshold of the synthetic set is another
    assert sure.rejected is None
    np.testing.assert_array_equal(sure.target.labels, np.where(scene().labels == 1, IGNORE, scene().labels))
    assert TASK.trusted(found, 0.2, synthesis()).target.labels.tolist() == scene().labels.tolist()
    assert TASK.trusted(found, 0.95, synthesis()).rejected is not None


def test_evaluator_knows_the_groups_of_the_settings() -> None:
    evaluator = task_with(unseen=("disc",), tail=("box",)).evaluator()
    evaluator.add(scene(), scene())
    metrics = evaluator.compute()
    assert {name for name in metrics if not name.startswith("iou/")} == {
        *("miou", "miou_seen", "miou_unseen", "miou_harmonic", "miou_head", "miou_tail", "pixel_accuracy"),
    }
    assert metrics[TASK.primary_metric] == 1
    for task in (
        TASK,
        task_with(unseen=("disc",)),
        task_with(tail=("box",)),
        task_with(unseen=("disc",), tail=("box",)),
    ):
        reported = [name for name in task.evaluator().compute() if not name.startswith("iou/")]
        assert task.headline[0] == task.primary_metric
        assert set(task.headline) == set(reported) - {"pixel_accuracy"}
    assert task.rare == (1,)


def test_drawing_has_a_colour_for_each_category_and_leaves_the_image_alone() -> None:
    image = np.full((*SIZE, 3), 90, dtype=np.uint8)
    picture = TASK.draw(image, scene())
    assert (image == 90).all()
    factor = picture.shape[0] // SIZE[0]
    assert picture.shape == (SIZE[0] * factor, SIZE[1] * factor, 3)
    assert tuple(picture[-1, 0]) == (90, 90, 90)
    assert tuple(picture[-1, -1]) == (30, 30, 30)
    for label, (row, column) in ((1, (11, 3)), (2, (21, 17))):
        colour = (90 * 0.5 + palette(3)[label] * 0.5).astype(np.uint8)
        np.testing.assert_array_equal(picture[row * factor, column * factor], colour)
    for top, left in ((2, 2), (10, 16)):  # lettering is the only grey inside the areas
        inside = picture[top * factor : (top + 10) * factor, left * factor : (left + 12) * factor].astype(int)
        assert ((inside.max(axis=2) - inside.min(axis=2) < 10) & (inside.min(axis=2) > 150)).any()


# --- files


@given(st.lists(hnp.arrays(np.uint8, (6, 8), elements=LABELS), max_size=3))
@settings(max_examples=15, deadline=None)
def test_files_come_back(maps: list[np.ndarray]) -> None:
    samples = [
        Sample(
            name=f"{number}.png",
            image=np.full((6, 8, 3), number, dtype=np.uint8),
            caption=f"picture {number}",
            target=SemanticMap.of(labels),
            image_id=number + 1,
        )
        for number, labels in enumerate(maps)
    ]
    with TemporaryDirectory() as folder:
        TASK.save(Path(folder), "train", samples)
        for before, after in zip(samples, TASK.load(Path(folder), "train"), strict=True):
            np.testing.assert_array_equal(before.image, after.image)
            assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
            assert_same(before.target, after.target)
        present = {label for labels in maps for label in labels.ravel().tolist()} - {IGNORE}
        assert TASK.check(Path(folder), "train") == {"images": len(maps), "categories": len(present)}


def test_damage_is_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    TASK.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=scene())])
    with pytest.raises(DatasetDMError, match="categories"):
        SemanticTask(CATEGORIES[:2]).load(tmp_path, "train")
    file = tmp_path / "annotations" / "train.json"
    file.write_text(file.read_text().replace('"star"', '"cross"'))
    with pytest.raises(DatasetDMError, match="other names"):
        TASK.check(tmp_path, "train")


def test_labels_of_no_category_are_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    wrong = SemanticMap.of(np.where(scene().labels == 1, 4, scene().labels))
    TASK.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=wrong)])
    with pytest.raises(DatasetDMError, match=r"a\.png: the pixel value 4"):
        TASK.check(tmp_path, "train")
