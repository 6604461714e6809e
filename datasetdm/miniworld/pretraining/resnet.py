"""ResNet-18 (He et al., arXiv 1512.03385) with the parameter names of torchvision, which mmdet's `ResNet` shares."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from datasetdm.errors import DatasetDMError


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B x inputs x h x w to B x outputs x h/stride x w/stride."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(x)) + shortcut).relu()


class ResNet18(nn.Module):
    """The classifier; `state_dict()` less `fc.*` is what a detector starts from."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Each block starts as its shortcut: deep nets train from scratch at high rates that way.
        for module in self.modules():
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def stages(self, images: torch.Tensor, count: int = 4) -> list[torch.Tensor]:
        """Maps of the first `count` stages, at a 4th to a 32nd of the side of normalised images B x 3 x h x w."""
        x = self.maxpool(self.bn1(self.conv1(images)).relu())
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4)[:count]:
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, B x num_classes, of normalised images B x 3 x h x w."""
        logits: torch.Tensor = self.fc(self.stages(images)[-1].mean((2, 3)))
        return logits


def load_resnet(folder: Path) -> ResNet18:
    """The frozen ResNet of a folder that `pretrain_resnet` exported; its classifier is not used.

    Raises:
        DatasetDMError: the file is missing.
    """
    path = folder / "model.safetensors"
    if not path.exists():
        raise DatasetDMError(
            f"{path} is missing: run `python -m datasetdm.miniworld.pretraining --part resnet` "
            "with the same --config first, or remove `alignment:` and `perceptual:` from it."
        )
    model = ResNet18(1)
    weights = {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
    model.load_state_dict(weights, strict=False)
    return model.eval().requires_grad_(False)
