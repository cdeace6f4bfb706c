"""Layers and parameters that PyTorch does not see."""

from functools import partial
from typing import Any, ClassVar

import torch
from my_project.models.small import Small
from torch import Tensor, nn


class InAList(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.blocks = [nn.Linear(32, 32) for _ in range(2)]

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        for block in self.blocks:
            features = features + block(features)
        return self.head(features)


class InADict(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.branches = {"wide": nn.Linear(64, 32), "deep": nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 32))}

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        return self.head(features + sum(branch(images.flatten(1)) for branch in self.branches.values()))


class InATupleInAModule(Small):
    """Not in the model itself but in one of its modules."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.mixture = Mixture()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.mixture(self.features(images)))


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = (nn.Linear(32, 32), nn.Linear(32, 32))

    def forward(self, features: Tensor) -> Tensor:
        return sum(expert(features) for expert in self.experts) / 2


class InASetInADict(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.stages = {"early": {nn.Linear(32, 32)}, "late": {nn.Linear(32, 32)}}

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        for stage in self.stages.values():
            features = features + sum(layer(features) for layer in stage)
        return self.head(features)


class InAClosure(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        projection = nn.Linear(32, 32)
        self.project = lambda features: projection(features).relu()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.project(self.features(images)))


class InAPartial(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.project = partial(residual, nn.Linear(32, 32))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.project(self.features(images)))


def residual(layer: nn.Module, features: Tensor) -> Tensor:
    return features + layer(features)


class InAPlainObject(Small):
    """A class with layers that forgot to be a Module."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.encoder = Encoder()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(self.features(images)))


class Encoder:
    def __init__(self) -> None:
        self.layer = nn.Linear(32, 32)

    def __call__(self, features: Tensor) -> Tensor:
        return self.layer(features).relu()


class InTheClass(Small):
    """One layer for all models ever made of this class, seen by none."""

    shared: ClassVar = {"projection": nn.Linear(32, 32)}

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.shared["projection"](self.features(images)))


class MadeInForward(Small):
    """A new, random layer for each batch."""

    def forward(self, images: Tensor) -> Tensor:  # here
        features = self.features(images)
        return self.head(nn.Linear(32, 32)(features))


class TensorForParameter(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.temperature = torch.ones(1, requires_grad=True)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.temperature


class ParametersInAList(Small):
    """nn.ParameterList would see them."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.scales = [nn.Parameter(torch.ones(32)), nn.Parameter(torch.zeros(32))]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images) * self.scales[0] + self.scales[1])


class DropoutInAList(Small):
    """It has no parameters, and yet: `eval` does not reach it."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.extras = [nn.Dropout(0.5)]

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        for extra in self.extras:
            features = extra(features)
        return self.head(features)
