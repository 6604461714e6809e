"""The P-Decoder: one network for all tasks, its heads switched on as the task needs them (paper section 3.2)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.models.mask2former.configuration_mask2former import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerTransformerModule

from datasetdm import config
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.pixel_decoder import PixelDecoder, group_norm
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError

NUM_MEMORY_LEVELS = 3  # the query transformer attends to three resolutions in turn


def mask_size(features: DiffusionFeatures) -> tuple[int, int]:
    """(height, width) of the masks and dense maps that the decoder predicts from these features."""
    height, width = features.maps[min(features.maps)].shape[-2:]
    return 2 * height, 2 * width


def mask_side(feature_info: Sequence[FeatureLevel], image_size: int) -> int:
    """Side of the masks that the decoder predicts for square images of `image_size` pixels."""
    return 2 * (image_size // min(level.stride for level in feature_info))


class PDecoder(Decoder):
    """From diffusion features to masks and classes of queries, or to a dense map, or to both.

    Args:
        feature_info: the levels that the backbone yields.
        num_words: words whose attention is read.
        settings: widths and depths.
        num_classes: classes that a query can be of.
        uses_queries: switches on the query transformer.
        dense_channels: channels of the dense head; 0 switches it off.
        text_dim: width of a class name's embedding, joined to the queries; 0 for queries without a name.

    Raises:
        DatasetDMError: `hidden_dim` does not fit the heads.
    """

    def __init__(
        self,
        feature_info: Sequence[FeatureLevel],
        num_words: int,
        settings: config.Decoder,
        *,
        num_classes: int,
        uses_queries: bool,
        dense_channels: int,
        text_dim: int = 0,
    ):
        super().__init__()
        hidden_dim = settings.hidden_dim
        if hidden_dim % settings.num_heads or hidden_dim % 4:
            raise DatasetDMError(
                f"decoder.hidden_dim ({hidden_dim}) in params.yaml has to be a multiple of 4 and of "
                f"decoder.num_heads ({settings.num_heads})."
            )
        mask_channels = hidden_dim // 2
        self.pixel_decoder = PixelDecoder(feature_info, num_words, hidden_dim, mask_channels, settings.dropout)
        self.query_decoder = QueryDecoder(settings, mask_channels, num_classes, text_dim) if uses_queries else None
        self.dense_head = _dense_head(mask_channels, dense_channels) if dense_channels else None

    def calibrate(self, features: DiffusionFeatures) -> None:
        """See `Decoder.calibrate`."""
        self.pixel_decoder.calibrate(features)

    def forward(self, features: DiffusionFeatures) -> dict[str, Any]:
        """Predict from a batch of features of any precision.

        Returns:
            With queries: `pred_logits` (B x Q x classes + 1, the last for "no object"), `pred_masks` (logits,
            B x Q x h x w at twice the finest level's resolution) and `aux_outputs`, the same of every earlier
            layer. With a dense head: `dense` (B x dense_channels x h x w).
        """
        return self._read(features)

    def _read(self, features: DiffusionFeatures, text: torch.Tensor | None = None) -> dict[str, Any]:
        levels, mask_features = self.pixel_decoder(features)
        outputs: dict[str, Any] = {}
        if self.query_decoder is not None:
            outputs |= self.query_decoder(levels, mask_features, text)
        if self.dense_head is not None:
            outputs["dense"] = self.dense_head(mask_features)
        return outputs


class QueryDecoder(nn.Module):
    """Mask2Former's query transformer with masked attention (Cheng et al., arXiv 2112.01527).

    With a `text_dim` each query is given a class name: its embedding is concatenated to the query features and to
    the query positions, and a linear layer takes each back to the width of the transformer (paper section 3.2,
    open-vocabulary segmentation).
    """

    def __init__(self, settings: config.Decoder, mask_channels: int, num_classes: int, text_dim: int = 0):
        super().__init__()
        hidden_dim = settings.hidden_dim
        self.transformer = Mask2FormerTransformerModule(
            in_features=hidden_dim,
            config=Mask2FormerConfig(
                hidden_dim=hidden_dim,
                mask_feature_size=mask_channels,
                num_queries=settings.num_queries,
                decoder_layers=settings.num_layers + 1,  # the library counts the queries themselves as a layer
                num_attention_heads=settings.num_heads,
                dim_feedforward=settings.feedforward_dim,
            ),
        )
        for parameter in self.transformer.decoder.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.classify = nn.Linear(hidden_dim, num_classes + 1)
        if text_dim:
            self.join_features = nn.Linear(hidden_dim + text_dim, hidden_dim)
            self.join_positions = nn.Linear(hidden_dim + text_dim, hidden_dim)

    def forward(
        self, levels: Sequence[torch.Tensor], mask_features: torch.Tensor, text: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Outputs of the last layer, with those of the earlier ones in `aux_outputs`; see `PDecoder.forward`.

        Args:
            levels: the fused levels, coarse to fine, B x hidden_dim x h x w each.
            mask_features: B x mask_channels x h x w.
            text: B x text_dim, the class name for each element of the batch.
        """
        # The finest level serves the mask features alone, as in the paper, unless there is no other.
        memory = list(levels[:-1] or levels)[-NUM_MEMORY_LEVELS:]
        memory = [memory[0]] * (NUM_MEMORY_LEVELS - len(memory)) + memory
        decoded = self.transformer(memory, mask_features) if text is None else self._ask(memory, mask_features, text)
        layers = [
            {"pred_logits": self.classify(hidden.transpose(0, 1)), "pred_masks": masks}
            for hidden, masks in zip(decoded.intermediate_hidden_states, decoded.masks_queries_logits, strict=True)
        ]
        return {**layers[-1], "aux_outputs": layers[:-1]}

    def _ask(self, memory: Sequence[torch.Tensor], mask_features: torch.Tensor, text: torch.Tensor) -> Any:
        """As the transformer's own `forward`, but each image has its own queries."""
        transformer = self.transformer
        positions = [transformer.position_embedder(level.shape, level.device, level.dtype) for level in memory]
        values = [
            projection(level).flatten(2) + embedding[:, None]
            for projection, level, embedding in zip(
                transformer.input_projections, memory, transformer.level_embed.weight, strict=True
            )
        ]
        return transformer.decoder(
            inputs_embeds=_joined(self.join_features, transformer.queries_features.weight, text),
            query_position_embeddings=_joined(self.join_positions, transformer.queries_embedder.weight, text),
            multi_stage_positional_embeddings=[position.flatten(2).permute(2, 0, 1) for position in positions],
            encoder_hidden_states=[value.permute(2, 0, 1) for value in values],
            pixel_embeddings=mask_features,
            feature_size_list=[level.shape[-2:] for level in memory],
            return_dict=True,
        )


def _joined(join: nn.Module, queries: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Q x C queries and B x D texts as Q x B x C: each query joined with each text."""
    count, batch = len(queries), len(text)
    pairs = [queries[:, None].expand(-1, batch, -1), text.to(queries)[None].expand(count, -1, -1)]
    joined: torch.Tensor = join(torch.cat(pairs, dim=-1))
    return joined


def _dense_head(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        group_norm(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, out_channels, 3, padding=1),
    )
