"""The default run written by hand with torch alone: the same data, network, recipe, checkpoints and test, nothing else.

python benchmarks/digits_by_hand.py PATH_OF_digits.csv.gz FOLDER
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

EPOCHS, BATCH, LR, WHITE = 20, 32, 1e-2, 16


def read(path: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Return images (N, 1, 8, 8), uint8, and labels (N,) of train, val and test; a fifth of each class is val."""
    with gzip.open(path) as file:
        rows = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.uint8))
    images, labels = rows[:, :64].view(-1, 1, 8, 8), rows[:, 64].long()
    order = torch.randperm(len(labels) - 360, generator=torch.Generator().manual_seed(0))
    val = torch.cat([order[labels[order] == label][: round(0.2 * (labels[:-360] == label).sum().item())] for label in range(10)])
    is_train = torch.ones(len(labels), dtype=torch.bool)
    is_train[-360:] = is_train[val] = False
    return {"train": (images[is_train], labels[is_train]), "val": (images[val], labels[val]), "test": (images[-360:], labels[-360:])}


def conv(m: int, n: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(m, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU(inplace=True))


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(conv(1, 32), conv(32, 64), nn.MaxPool2d(2), conv(64, 64))
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean(dim=(2, 3)))


def normalized(images: Tensor) -> Tensor:
    return (images.float() / WHITE - 0.305) / 0.376


def cropped(images: Tensor) -> Tensor:
    """Move each image by up to one pixel."""
    b, _, h, w = images.shape
    top, left = torch.randint(3, (2, b, 1))
    rows, columns = (top + torch.arange(h)).view(b, h, 1), (left + torch.arange(w)).view(b, 1, w)
    return pad(images, [1] * 4)[torch.arange(b).view(b, 1, 1), 0, rows, columns].unsqueeze(1)


@torch.no_grad()
def score(model: nn.Module, loss_of: nn.Module, samples: tuple[Tensor, Tensor]) -> tuple[float, float, float]:
    """Return loss, accuracy and macro F1 of a whole split."""
    model.eval()
    total, matrix = 0.0, torch.zeros(100, dtype=torch.int64)
    for images, labels in zip(*(tensor.split(360) for tensor in samples), strict=True):
        logits = model(normalized(images))
        total += loss_of(logits, labels).item() * len(labels)
        matrix += (10 * labels + logits.argmax(dim=1)).bincount(minlength=100)
    matrix = matrix.view(10, 10)
    hits = matrix.diagonal()
    f1 = (2 * hits / (matrix.sum(0) + matrix.sum(1))).mean().item()
    return total / len(samples[1]), hits.sum().item() / len(samples[1]), f1


def main() -> None:
    path, folder = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(0)
    splits = read(path)
    images, labels = splits["train"]
    num_batches = len(labels) // BATCH
    model = CNN().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LR, total_steps=EPOCHS * num_batches, cycle_momentum=False
    )
    loss_of, best = nn.CrossEntropyLoss(label_smoothing=0.1), float("inf")
    for epoch in range(EPOCHS):
        model.train()
        total = torch.zeros(())
        for indices in torch.randperm(len(labels))[: num_batches * BATCH].split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(model(normalized(cropped(images[indices]))), labels[indices])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.detach()
        val_loss, accuracy, f1 = score(model, loss_of, splits["val"])
        print(f"epoch {epoch + 1}  train {total.item() / num_batches:.4f}  val {val_loss:.4f}  {accuracy:.4f}  {f1:.4f}")
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "epoch": epoch}
        if val_loss < best:
            best = val_loss
            torch.save(state, folder / "best.ckpt")
        torch.save(state, folder / "last.ckpt")
    model.load_state_dict(torch.load(folder / "best.ckpt", weights_only=True)["model"])
    print("test {:.4f}  {:.4f}  {:.4f}".format(*score(model, loss_of, splits["test"])))


if __name__ == "__main__":
    main()
