from typing import Any

import torch
from torch.nn import functional
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from datasetdm.tasks.losses.set_loss import SetLoss

CLASSES, QUERIES, SIDE = 4, 6, 16


def make_targets(counts: tuple[int, ...] = (3, 1), seed: int = 0) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for count in counts:
        masks = torch.zeros(count, SIDE, SIDE, dtype=torch.float16)
        for index in range(count):
            masks[index, 4 * index : 4 * index + 4, 2:13] = 1
        targets.append({"masks": masks, "labels": torch.randint(CLASSES, (count,), generator=generator)})
    return targets


def make_outputs(batch: int = 2, layers: int = 3, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    all_layers = [
        {
            "pred_logits": torch.randn(batch, QUERIES, CLASSES + 1, generator=generator, requires_grad=True),
            "pred_masks": torch.randn(batch, QUERIES, SIDE, SIDE, generator=generator, requires_grad=True),
        }
        for _ in range(layers)
    ]
    return {**all_layers[-1], "aux_outputs": all_layers[:-1]}


def perfect_outputs(targets: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
    logits = torch.zeros(len(targets), QUERIES, CLASSES + 1)
    logits[..., -1] = 20
    masks = torch.full((len(targets), QUERIES, SIDE, SIDE), -20.0)
    for image, target in enumerate(targets):
        for index, label in enumerate(target["labels"].tolist()):
            query = QUERIES - 1 - index  # in another order than the objects
            logits[image, query, -1], logits[image, query, label] = 0, 20
            masks[image, query] = 40 * target["masks"][index].float() - 20
    return {"pred_logits": logits, "pred_masks": masks, "aux_outputs": []}


def test_agrees_with_the_reference() -> None:
    """With dense uniform points both estimate the same integrals, here of smooth logits, up to interpolation."""
    outputs = make_outputs(layers=1)
    coarse = outputs["pred_masks"].detach() + perfect_outputs(make_targets())["pred_masks"] / 10  # a clear matching
    outputs["pred_masks"] = functional.interpolate(coarse, size=(192, 192), mode="bicubic")
    targets = [
        {**target, "masks": target["masks"].repeat_interleave(12, dim=1).repeat_interleave(12, dim=2)}
        for target in make_targets()
    ]
    uniform = {"train_num_points": 50_000, "oversample_ratio": 1.0, "importance_sample_ratio": 0.0}
    reference = Mask2FormerLoss(Mask2FormerConfig(num_labels=CLASSES, **uniform), {})
    expected = reference(
        outputs["pred_masks"],
        outputs["pred_logits"],
        [target["masks"].float() for target in targets],
        [target["labels"] for target in targets],
    )
    losses = SetLoss(point_fraction=1, oversampling=1, importance=0)(outputs, targets)
    torch.testing.assert_close(losses["loss_ce"], 2 * expected["loss_cross_entropy"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses["loss_mask"], 5 * expected["loss_mask"], rtol=0.03, atol=0)
    torch.testing.assert_close(losses["loss_dice"], 5 * expected["loss_dice"], rtol=0.03, atol=0)


def test_perfect_outputs_cost_nothing_and_worse_ones_more() -> None:
    targets = make_targets()
    perfect = SetLoss()(perfect_outputs(targets), targets)
    assert all(0 <= float(value) < 0.01 for value in perfect.values())
    worse = perfect_outputs(targets)
    worse["pred_masks"] = -worse["pred_masks"]
    assert float(SetLoss()(worse, targets)["loss_mask"]) > 10


def test_order_of_queries_and_objects_does_not_matter() -> None:
    outputs, targets = make_outputs(layers=1), make_targets()
    dense = SetLoss(point_fraction=30, oversampling=1, importance=0)
    turned = {key: outputs[key].flip(1) for key in ("pred_logits", "pred_masks")} | {"aux_outputs": []}
    turned_targets = [{key: value.flip(0) for key, value in target.items()} for target in targets]
    first, second = dense(outputs, targets), dense(turned, turned_targets)
    torch.testing.assert_close(first["loss_ce"], second["loss_ce"])
    torch.testing.assert_close(first["loss_mask"], second["loss_mask"], rtol=0.05, atol=0.05)


def test_layers_add_up() -> None:
    targets = make_targets()
    one = perfect_outputs(targets)  # masks that leave no doubt about the matching
    one["pred_logits"] = make_outputs()["pred_logits"].detach()
    twice = {**one, "aux_outputs": [dict(one)]}
    torch.testing.assert_close(SetLoss()(twice, targets)["loss_ce"], 2 * SetLoss()(one, targets)["loss_ce"])


def test_images_without_objects_teach_no_object() -> None:
    outputs, targets = make_outputs(), make_targets((0, 0))
    losses = SetLoss()(outputs, targets)
    assert losses["loss_mask"].item() == 0
    sum(losses.values()).backward()
    gradient = outputs["pred_logits"].grad
    assert (gradient[..., -1] < 0).all()  # "no object" is pushed up
    assert (gradient[..., :-1] > 0).all()


def test_more_objects_than_queries() -> None:
    targets = [{"masks": torch.rand(9, SIDE, SIDE).half(), "labels": torch.arange(9) % CLASSES}]
    losses = SetLoss()(make_outputs(batch=1), targets)
    assert all(torch.isfinite(value) for value in losses.values())


def test_gradient_reaches_every_layer() -> None:
    outputs = make_outputs()
    sum(SetLoss()(outputs, make_targets()).values()).backward()
    for layer in [outputs, *outputs["aux_outputs"]]:
        assert layer["pred_masks"].grad.abs().sum() > 0


def test_what_is_found_where_nobody_knows_is_no_mistake() -> None:
    targets = make_targets((0, 1))
    outputs = make_outputs(layers=1)
    outputs["pred_masks"] = torch.full((2, QUERIES, SIDE, SIDE), -5.0)
    outputs["pred_masks"][0, 1, :4, :4] = 5  # one query of the first image, which has no object
    inside = torch.zeros(outputs["pred_masks"].shape[-2:], dtype=torch.bool)
    inside[:4, :3] = True

    def gradient(ignored: torch.Tensor | None) -> torch.Tensor:
        torch.manual_seed(0)
        logits = outputs["pred_logits"].detach().clone().requires_grad_()
        first = targets[0] if ignored is None else {**targets[0], "ignored": ignored}
        SetLoss()({**outputs, "pred_logits": logits}, [first, targets[1]])["loss_ce"].backward()
        assert logits.grad is not None
        return logits.grad.abs().sum(dim=-1)

    without, within, aside = gradient(None), gradient(inside), gradient(~inside)
    assert without[0, 1] > 0 and within[0, 1] == 0 and aside[0, 1] > 0
    assert (within[0, [0, 2]] > 0).all() and (within[1] > 0).all()
    torch.testing.assert_close(gradient(torch.zeros_like(inside)), without)
