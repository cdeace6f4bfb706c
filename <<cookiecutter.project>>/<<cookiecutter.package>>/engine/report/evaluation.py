"""What one split says about a model: outputs are kept while it is evaluated, then counted."""

from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.functional import classification
from torchmetrics.utilities.distributed import gather_all_tensors

from .samples import shown

MISTAKES = 25  # the most confident ones are shown
BINS = 15  # of confidence, in the reliability diagram
POINTS = 500  # predictions of a regressor that are drawn
RESAMPLES = 200  # of the bootstrap
LARGEST = 2**21  # outputs that the bootstrap takes at most: it reads them for every resample


class Evaluation:
    """The outputs for a split, batch after batch, of a model with one logit per class or one number per sample.

    Args:
        split: val or test.
        epoch: of the model, counted from 1; None: the one that is tested.
        rank: of this process among `world_size`, each of which gets every so many samples.
    """

    def __init__(self, split: str, epoch: int | None = None, rank: int = 0, world_size: int = 1) -> None:
        self.split, self.epoch, self.rank, self.world_size = split, epoch, rank, world_size
        self.num_classes = self.num_samples = 0  # of this process; no classes: it is no classifier
        self.kept: list[list[Tensor]] = []  # samples, targets (B,), and numbers (B,) or classes and confidence
        self.outputs: list[Tensor] = []  # those of the first LARGEST numbers
        self.mistakes: list[Tensor] = []  # confidence, sample, target, class and inputs of the most confident so far

    def update(self, outputs: Any, batch: Any) -> None:
        """Keep a batch (*inputs, targets) and its outputs, where the model is; nothing of another kind of either."""
        if not (torch.is_tensor(outputs) and isinstance(batch, tuple | list) and all(map(torch.is_tensor, batch))):
            return
        *inputs, targets = batch
        is_classifier = outputs.ndim == 2 and outputs.shape[1] > 1
        if not inputs or targets.shape != outputs.shape[:1] or outputs.ndim != 1 + is_classifier:
            return
        if is_classifier == targets.is_floating_point():
            return
        samples = torch.arange(len(targets), device=targets.device) + self.num_samples
        samples, outputs = samples * self.world_size + self.rank, outputs.detach().float()
        rows = [samples, targets, outputs]
        if is_classifier:
            confidence, predicted = outputs.softmax(dim=1).nan_to_num().max(dim=1)  # (B,)
            wrong = confidence.masked_fill((predicted == targets) | (targets < 0), -1)  # below 0: they do not count
            self.num_classes = outputs.shape[1]
            self.keep_mistakes([wrong, samples, targets, predicted, *inputs])
            rows = [samples, targets, predicted, confidence]
        self.kept.append(rows)
        self.num_samples += len(targets)
        if self.num_samples * max(1, self.num_classes) <= LARGEST:
            self.outputs.append(outputs)

    def keep_mistakes(self, rows: list[Tensor]) -> None:
        """Keep the most confident; no size depends on a value, so that a GPU need not be waited for."""
        pairs = list(zip(self.mistakes or rows, rows, strict=False))
        if any(before.shape[1:] != now.shape[1:] for before, now in pairs):
            pairs = pairs[:4]  # inputs of different sizes are not kept
        rows = [torch.cat(pair) if self.mistakes else pair[0] for pair in pairs]
        places = rows[0].topk(min(MISTAKES, len(rows[0]))).indices
        self.mistakes = [values[places] for values in rows]

    def gather(self) -> None:
        """Bring the batches, and the shares of all processes, together on the CPU, in the order of the samples."""
        parts = [
            [*map(torch.cat, zip(*self.kept, strict=True))],
            self.outputs and [torch.cat(self.outputs)],
            self.mistakes,
        ]
        if self.world_size > 1:
            parts = [[torch.cat(gather_all_tensors(values)) for values in part] for part in parts]
        (samples, *rows), self.outputs, self.mistakes = [[values.cpu() for values in part] for part in parts]
        self.kept = [[values[samples.argsort()] for values in rows]]
        # Only all of them serve the bootstrap.
        self.outputs = [values[samples.argsort()] for values in self.outputs if len(values) == len(samples)]

    def facts(self, data: LightningDataModule | None, metrics: MetricCollection | None) -> dict[str, Any]:
        """Return as plain data what the gathered outputs show.

        Args:
            data: names the classes, and says what inputs are.
            metrics: of this split, whose intervals are wanted.
        """
        (targets, predicted, *confidence), facts = self.kept[0], {"split": self.split, "epoch": self.epoch}
        intervals = bootstrap(metrics, self.outputs[0], targets) if metrics and self.outputs else {}
        facts |= {"num_samples": len(targets), "intervals": intervals}
        if not self.num_classes:
            points = torch.stack([targets, predicted], dim=1)[:: len(targets) // POINTS + 1]
            return facts | {"points": points[points.isfinite().all(dim=1)].tolist()}
        targets, predicted, *confidence = (values[targets >= 0] for values in self.kept[0])
        names = [str(name) for name in getattr(data, "class_names", None) or range(self.num_classes)]
        correct, total = predicted == targets, len(targets)
        share = {"value": int(correct.sum()) / total, "interval": wilson(int(correct.sum()), total), "is_share": True}
        return facts | {
            "class_names": names,
            "result": {"name": f"{self.split}/accuracy", "num_samples": total, **share},
            **counts(predicted, targets, self.num_classes),
            **calibration(confidence[0], correct),
            "mistakes": self.shown_mistakes(names, data),
        }

    def shown_mistakes(self, names: list[str], data: LightningDataModule | None) -> list[dict[str, Any]]:
        """Return the most confident mistakes, each with its place in the split, both class names and its inputs."""
        order = self.mistakes[0].argsort(descending=True)[:MISTAKES]
        wrong = order[self.mistakes[0][order] > 0]
        confidence, samples, targets, predicted, *inputs = (values[wrong] for values in self.mistakes)
        pictures = shown(inputs, data) if inputs else [None] * len(samples)
        rows = zip(*map(Tensor.tolist, (samples, targets, predicted, confidence)), pictures, strict=True)
        return [
            {"sample": n, "target": names[target], "predicted": names[guess], "confidence": share, "input": picture}
            for n, target, guess, share, picture in rows
        ]


def counts(predicted: Tensor, targets: Tensor, num_classes: int) -> dict[str, Any]:
    """Return the confusions as [target, predicted, count] and precision, recall, F1 and support of each class."""
    matrix = classification.multiclass_confusion_matrix(predicted, targets, num_classes)  # (target, predicted)
    confusions = [[target, guess, int(matrix[target, guess])] for target, guess in matrix.nonzero().tolist()]
    scores = (f"multiclass_{score}" for score in ("precision", "recall", "f1_score"))
    columns = [getattr(classification, score)(predicted, targets, num_classes, average="none") for score in scores]
    return {"confusions": confusions, "classes": list(zip(*map(Tensor.tolist, (*columns, matrix.sum(1))), strict=True))}


def calibration(confidence: Tensor, correct: Tensor) -> dict[str, Any]:
    """Return the expected calibration error, and mean confidence, accuracy and count of each bin of confidence."""
    error = classification.binary_calibration_error(confidence, correct.long(), n_bins=BINS)
    places = (confidence * BINS).long().clamp(max=BINS - 1)
    count = places.bincount(minlength=BINS)
    means = [places.bincount(values.float(), minlength=BINS) / count for values in (confidence, correct)]
    return {"calibration_error": float(error), "bins": torch.stack([*means, count])[:, count > 0].T.tolist()}


def wilson(correct: int, total: int, z: float = 1.96) -> list[float]:
    """Return the 95 % interval of a share (Wilson, 1927), which also holds for few samples and near 0 and 1."""
    share, spread = correct / total, z**2 / total
    middle, width = share + spread / 2, z * (share * (1 - share) / total + spread / total / 4) ** 0.5
    return [(middle - width) / (1 + spread), (middle + width) / (1 + spread)]


def bootstrap(metrics: MetricCollection, outputs: Tensor, targets: Tensor) -> dict[str, list[float]]:
    """Return the 95 % interval of each metric that is one number: samples drawn again with replacement."""
    metrics, generator = metrics.clone().cpu(), torch.Generator().manual_seed(0)
    drawn: dict[str, list[Tensor]] = {}
    for metric in metrics.values():
        metric.distributed_available_fn = lambda: False  # the other processes take no part
    for _ in range(RESAMPLES):
        places = torch.randint(len(targets), (len(targets),), generator=generator)
        metrics.reset()
        metrics.update(outputs[places], targets[places])
        for name, value in metrics.compute().items():
            if torch.is_tensor(value) and value.numel() == 1:
                drawn.setdefault(name, []).append(value.float().flatten())
    ends = torch.tensor([0.025, 0.975])
    return {name: torch.cat(values).nanquantile(ends).tolist() for name, values in drawn.items()}
