"""What the generated project is measured against: loops as one writes them by hand, and Lightning's Trainer alone."""

import time
from collections.abc import Callable, Iterator

import lightning
import torch
from torch import Tensor, nn

Samples = tuple[Tensor, Tensor]  # images (N, C, H, W), uint8, and labels (N,), int64
LR, CLIP = 1e-2, 1.0  # of the project's defaults, so that the work is the same


def mlp() -> nn.Module:
    """784-64-128-64-10 with batch norm, as `model=mlp model.hidden_sizes=[64,128,64] model.dropout=0`."""
    layers: list[nn.Module] = [nn.Flatten()]
    for m, n in ((784, 64), (64, 128), (128, 64)):
        layers += [nn.Linear(m, n, bias=False), nn.BatchNorm1d(n), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def batches(samples: Samples, batch_size: int) -> Iterator[Samples]:
    """Yield whole batches in a new random order."""
    images, labels = samples
    for indices in torch.randperm(len(labels), device=labels.device)[: len(labels) // batch_size * batch_size].split(batch_size):
        yield images[indices], labels[indices]


def normalized(images: Tensor) -> Tensor:
    return (images.float() / 255 - 0.5) / 0.25


def optimizer_and_schedule(model: nn.Module, num_steps: int) -> tuple:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=num_steps, cycle_momentum=False)
    return optimizer, schedule


def loop(model: nn.Module, samples: Samples, batch_size: int, epochs: int, limit: int | None = None) -> list[float]:
    """Train on the device of the samples and return the seconds of each epoch, of `limit` batches at most."""
    num_batches = min(limit or 10**9, len(samples[1]) // batch_size)
    optimizer, schedule = optimizer_and_schedule(model, epochs * num_batches)
    loss_of, seconds = nn.CrossEntropyLoss(), []
    for _ in range(epochs):
        began = time.perf_counter()
        for number, (images, labels) in enumerate(batches(samples, batch_size)):
            if number == num_batches:
                break
            optimizer.zero_grad()
            loss = loss_of(model(normalized(images)), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
        if samples[0].is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds


def validate(model: nn.Module, samples: Samples, batch_size: int) -> float:
    """Score a whole split, loss and accuracy, and return the seconds it took."""
    began, total, correct = time.perf_counter(), 0.0, 0
    loss_of = nn.CrossEntropyLoss()
    model.eval()
    with torch.no_grad():
        for images, labels in zip(*(tensor.split(batch_size) for tensor in samples), strict=True):
            logits = model(normalized(images))
            total += loss_of(logits, labels).item() * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum().item()
    return time.perf_counter() - began


class Bare(lightning.LightningModule):
    """The same training for Lightning's Trainer, and nothing else."""

    def __init__(self, net: nn.Module, num_steps: int) -> None:
        super().__init__()
        self.net, self.num_steps = net, num_steps
        self.loss_of, self.seconds = nn.CrossEntropyLoss(), []

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def on_train_epoch_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.seconds.append(time.perf_counter() - self.began)

    def training_step(self, batch: Samples, batch_idx: int) -> Tensor:
        images, labels = batch
        return self.loss_of(self(normalized(images)), labels)

    def configure_optimizers(self) -> dict:
        optimizer, schedule = optimizer_and_schedule(self, self.num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Passes:
    """A loader that begins a new pass whenever it is asked to."""

    def __init__(self, make: Callable[[], Iterator[Samples]], length: int) -> None:
        self.make, self.length = make, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Samples]:
        return self.make()


def bare_trainer(net: nn.Module, samples: Samples, batch_size: int, epochs: int) -> list[float]:
    """Train with logger, progress bar, checkpoints and summary off, and return the seconds of each epoch."""
    num_batches = len(samples[1]) // batch_size
    model = Bare(net, epochs * num_batches)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        gradient_clip_val=CLIP,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, Passes(lambda: batches(samples, batch_size), num_batches))
    return model.seconds
