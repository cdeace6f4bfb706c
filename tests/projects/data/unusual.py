"""Data of other kinds: batches that are objects, several loaders, no validation, files."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset


class Served(LightningDataModule):
    """Takes what the configs give to data."""

    def __init__(self, batch_size: int = 20, num_workers: int = 0, seed: int = 0) -> None:
        super().__init__()


class Graph:
    """Nodes (N, 4), edges (2, E) and a class; a batch of them is one graph too."""

    def __init__(self, nodes: Tensor, edges: Tensor, label: Tensor, of_node: Tensor) -> None:
        self.nodes, self.edges, self.label, self.of_node = nodes, edges, label, of_node


def join(graphs: list[Graph]) -> Graph:
    edges = torch.cat([graph.edges + 5 * number for number, graph in enumerate(graphs)], dim=1)
    of_node = torch.arange(len(graphs)).repeat_interleave(5)
    return Graph(torch.cat([graph.nodes for graph in graphs]), edges, torch.stack([g.label for g in graphs]), of_node)


class Graphs(Served):
    def loader(self, seed: int, shuffle: bool) -> DataLoader:
        draw = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (120,), generator=draw)
        nodes = [torch.randn(5, 4, generator=draw) + label for label in labels]
        edges = [torch.randint(5, (2, 9), generator=draw) for _ in labels]
        graphs = [Graph(n, e, label, torch.zeros(5)) for n, e, label in zip(nodes, edges, labels, strict=True)]
        return DataLoader(graphs, batch_size=20, shuffle=shuffle, collate_fn=join)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader:
        return self.loader(0, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.loader(1, shuffle=False)


class Points(Served):
    """Clouds of points, and further ones without labels in a loader of their own."""

    def loader(self, seed: int, shuffle: bool = False) -> DataLoader:
        draw = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (200,), generator=draw)
        points = torch.randn(200, 6, generator=draw) + labels[:, None]
        return DataLoader(TensorDataset(points, labels), batch_size=20, shuffle=shuffle)

    def train_dataloader(self) -> Any:
        return {"labelled": self.loader(0, shuffle=True), "unlabelled": self.loader(1, shuffle=True)}

    def val_dataloader(self) -> Any:
        return self.loader(2)


class CombinedPoints(Points):
    def train_dataloader(self) -> Any:
        return CombinedLoader(super().train_dataloader(), "min_size")

    def val_dataloader(self) -> Any:
        return [self.loader(2), self.loader(3)]


class UnvalidatedPoints(Served):
    def train_dataloader(self) -> DataLoader:
        return Points().loader(0, shuffle=True)


class Pictures(Dataset):
    """Files, as torchvision's ImageFolder lists them, and a transform that is random in training."""

    def __init__(self, samples: list[tuple[str, int]], flips: bool) -> None:
        self.samples, self.flips = samples, flips

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self.samples[index]
        picture = torch.tensor(list(Path(file).read_bytes()), dtype=torch.float32)
        return picture + self.flips * torch.randn(()), label
