"""Models for data of other kinds: graphs, labelled and unlabelled points, no validation."""

import torch
from lightning import LightningModule
from my_project.data.unusual import Graph
from torch import Tensor, nn
from torch.nn import functional as F


class GraphNetwork(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 16), nn.Linear(16, 2)

    def forward(self, graph: Graph) -> Tensor:
        nodes = self.layer(graph.nodes).relu()
        nodes = nodes.index_add(0, graph.edges[1], nodes[graph.edges[0]])
        return self.head(nodes.new_zeros(len(graph.label), 16).index_add(0, graph.of_node, nodes))

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch), batch.label)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", F.cross_entropy(self(batch), batch.label), batch_size=len(batch.label))

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class SemiSupervised(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points)

    def training_step(self, batch, batch_idx):
        points, labels = batch["labelled"]
        probabilities = self(batch["unlabelled"][0]).softmax(dim=1)
        entropy = -(probabilities * probabilities.clamp_min(1e-6).log()).sum(dim=1).mean()
        return F.cross_entropy(self(points), labels) + 0.1 * entropy

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        points, labels = batch
        name = ("val/loss", "val/other_loss")[dataloader_idx]
        self.log(name, F.cross_entropy(self(points), labels), batch_size=len(labels), add_dataloader_idx=False)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}


class Unvalidated(SemiSupervised):
    def training_step(self, batch, batch_idx):
        points, labels = batch
        return F.cross_entropy(self(points), labels)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)
