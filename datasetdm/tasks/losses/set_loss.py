"""The set loss of Mask2Former (arXiv 2112.01527, section 3.3), for all layers and images of a batch at once.

Queries are matched one to one with the objects of their image; matched masks are compared at sampled points,
most of them where the prediction is least sure. Points are pixels of the mask logits, so that they are
gathered and not interpolated: several times faster on a processor than one call per layer and image. Pixels that
a target marks as not valid count neither in the loss nor in the matching. If a query finds something in a region to
be ignored (a crowd, an object whose mask nobody drew), it is not trained to predict "no object".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

IGNORED_SHARE = 0.5  # of a query's mask that has to lie where the target is to be ignored


@dataclass(frozen=True, kw_only=True)
class SetLoss:
    """Weights and sampling of the loss; the defaults are the paper's.

    Attributes:
        class_weight: weight of the cross entropy, in the loss and in the matching.
        mask_weight: weight of the binary cross entropy of masks.
        dice_weight: weight of the dice loss of masks.
        no_object_weight: weight of the class "no object" within the cross entropy.
        point_fraction: points sampled of every mask, as a share of its pixels.
        oversampling: candidates drawn for each point that is picked by uncertainty.
        importance: share of the points that is picked by uncertainty.
    """

    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    point_fraction: float = 0.25
    oversampling: float = 3.0
    importance: float = 0.75

    def __call__(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The weighted terms, summed over the layers.

        Args:
            outputs: `pred_logits`, `pred_masks` and `aux_outputs` of the P-Decoder.
            targets: per image `labels` (int64, N), `masks` (N x h x w in [0, 1], at the size of the logits) and,
                if parts of the image are not labelled, `valid` (bool, h x w), and if it has regions to be ignored,
                `ignored` (bool, h x w).

        Returns:
            `loss_ce`, `loss_mask` and `loss_dice`.
        """
        layers = [outputs, *outputs["aux_outputs"]]
        logits = torch.stack([layer["pred_logits"] for layer in layers])  # L x B x Q x classes + 1
        masks = [layer["pred_masks"].flatten(2) for layer in layers]  # L of B x Q x pixels
        labels = pad_sequence([target["labels"].to(logits.device) for target in targets], batch_first=True)
        truth = pad_sequence([target["masks"].flatten(1).to(masks[0]) for target in targets], batch_first=True)
        counts = [len(target["labels"]) for target in targets]
        valid = _stack_valid(targets, truth)
        pairs = self._match(logits.detach(), [item.detach() for item in masks], labels, truth, counts, valid)

        classes = torch.full(logits.shape[:3], logits.shape[-1] - 1, device=logits.device)
        for layer, (image, query, index) in enumerate(pairs):
            classes[layer, image, query] = labels[image, index]
        counted = _counted(targets, [item.detach() for item in masks], classes < logits.shape[-1] - 1)
        predicted = torch.cat([_rows(item, image, query) for item, (image, query, _) in zip(masks, pairs, strict=True)])
        true = torch.cat([_rows(truth, image, index) for image, _, index in pairs])
        known = None if valid is None else torch.cat([valid[image] for image, _, _ in pairs])
        loss_mask, loss_dice = self._mask_terms(predicted, true, known)
        num_masks = max(sum(counts), 1)
        return {
            "loss_ce": self.class_weight * self._class_term(logits, classes, counted),
            "loss_mask": self.mask_weight * loss_mask / num_masks,
            "loss_dice": self.dice_weight * loss_dice / num_masks,
        }

    def _class_term(self, logits: torch.Tensor, classes: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
        """Cross entropy, the weighted mean of each layer over the queries that count, summed over the layers."""
        weight = torch.ones(logits.shape[-1], device=logits.device)
        weight[-1] = self.no_object_weight
        entropy = F.cross_entropy(logits.flatten(0, 2), classes.flatten(), weight=weight, reduction="none")
        entropy, weights = entropy.view(classes.shape), weight[classes]
        if counted is not None:
            entropy, weights = entropy * counted, weights * counted
        total = weights.flatten(1).sum(dim=1)
        return (entropy.flatten(1).sum(dim=1) / (total if counted is None else total.clamp(min=1e-6))).sum()

    def _mask_terms(
        self, masks: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Binary cross entropy and dice loss at sampled points of M matched pairs (M x pixels), summed over pairs."""
        points = self._sample_points(masks.detach(), valid)
        masks, truth = masks.gather(1, points), truth.gather(1, points)
        known = None if valid is None else valid.gather(1, points).to(masks)
        entropy = F.binary_cross_entropy_with_logits(masks, truth, reduction="none")
        inside = masks.sigmoid()
        if known is None:
            entropy = entropy.mean(dim=1).sum()
        else:
            entropy = ((entropy * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)).sum()
            inside, truth = inside * known, truth * known
        overlap = (2 * (inside * truth).sum(dim=1) + 1) / (inside.sum(dim=1) + truth.sum(dim=1) + 1)
        return entropy, (1 - overlap).sum()

    def _sample_points(self, masks: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        """Pixels to compare (M x points): the least certain valid ones of random candidates, and random ones."""
        count, pixels = masks.shape
        points = self._num_points(pixels)
        uncertain = round(self.importance * points)
        candidates = torch.randint(pixels, (count, round(self.oversampling * points)), device=masks.device)
        confidence = masks.gather(1, candidates).abs()
        if valid is not None:
            confidence = confidence.masked_fill(~valid.gather(1, candidates), torch.inf)
        sharpest = confidence.topk(uncertain, dim=1, largest=False, sorted=False).indices
        chance = torch.randint(pixels, (count, points - uncertain), device=masks.device)
        return torch.cat([candidates.gather(1, sharpest), chance], dim=1)

    def _num_points(self, pixels: int) -> int:
        return max(1, round(self.point_fraction * pixels))

    @torch.no_grad()
    def _match(
        self,
        logits: torch.Tensor,
        masks: Sequence[torch.Tensor],
        labels: torch.Tensor,
        truth: torch.Tensor,
        counts: Sequence[int],
        valid: torch.Tensor | None,
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The cheapest assignment in every layer, as index tensors image, query, object."""
        pixels = truth.shape[-1]
        points = torch.randint(pixels, (self._num_points(pixels),), device=logits.device)
        sampled = torch.stack([item[..., points] for item in masks])
        cost_class = -logits.softmax(dim=-1).gather(-1, labels[None, :, None].expand(*logits.shape[:3], -1))
        known = None if valid is None else valid[:, None, points].to(truth)  # B x 1 x P
        costs = self._mask_costs(sampled, truth[..., points], known) + self.class_weight * cost_class
        table = torch.nan_to_num(costs, nan=1e6, posinf=1e6, neginf=1e6).cpu().numpy()
        return [_assign(layer, counts, logits.device) for layer in table]

    def _mask_costs(self, masks: torch.Tensor, truth: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
        """L x B x Q x T costs of L x B x Q x P logits against B x T x P masks."""
        # BCE(x, y) = softplus(x) - x y, so that its mean over the points is one sum and one product.
        surplus, inside = F.softplus(masks), masks.sigmoid()
        count: int | torch.Tensor = masks.shape[-1]
        if known is not None:
            surplus, inside, truth = surplus * known, inside * known, truth * known
            count = known.sum(dim=-1, keepdim=True).clamp(min=1)
        truth = truth.transpose(1, 2)
        entropy = (surplus.sum(dim=-1, keepdim=True) - masks @ truth) / count
        areas = inside.sum(dim=-1, keepdim=True) + truth.sum(dim=1)[:, None]
        overlap = (2 * inside @ truth + 1) / (areas + 1)
        return self.mask_weight * entropy + self.dice_weight * (1 - overlap)


def _stack_valid(targets: Sequence[Mapping[str, torch.Tensor]], truth: torch.Tensor) -> torch.Tensor | None:
    """Where each image is labelled, bool B x pixels; None if all images are labelled everywhere."""
    if not any("valid" in target for target in targets):
        return None
    everywhere = torch.ones(truth.shape[-1], dtype=torch.bool, device=truth.device)
    return torch.stack(
        [target["valid"].flatten().to(truth.device) if "valid" in target else everywhere for target in targets]
    )


def _counted(
    targets: Sequence[Mapping[str, torch.Tensor]], masks: Sequence[torch.Tensor], matched: torch.Tensor
) -> torch.Tensor | None:
    """Which queries' classes are learnt, bool L x B x Q: the matched ones, and those outside the ignored regions.

    None if nothing is ignored.
    """
    if not any("ignored" in target for target in targets):
        return None
    nothing = torch.zeros(masks[0].shape[-1], dtype=torch.bool, device=matched.device)
    ignored = torch.stack(
        [target["ignored"].flatten().to(nothing) if "ignored" in target else nothing for target in targets]
    )
    found = torch.stack([item > 0 for item in masks])  # L x B x Q x pixels
    inside = (found & ignored[None, :, None]).sum(dim=-1)
    return matched | (inside <= IGNORED_SHARE * found.sum(dim=-1))


def _assign(
    costs: np.ndarray, counts: Sequence[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hungarian matching of each image of a layer; objects beyond an image's count are padding."""
    pairs = []
    for image, count in enumerate(counts):
        queries, objects = linear_sum_assignment(costs[image, :, :count])
        pairs.append(np.stack([np.full_like(queries, image), queries, objects]))
    image_index, query_index, object_index = torch.from_numpy(np.concatenate(pairs, axis=1)).to(device)
    return image_index, query_index, object_index


def _rows(values: torch.Tensor, image: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`values[image, index]` of B x N x pixels; selecting rows has the far cheaper gradient."""
    return values.flatten(0, 1).index_select(0, image * values.shape[1] + index)
