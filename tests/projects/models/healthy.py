"""Models with nothing wrong that a careless check would take for wrong."""

import copy
import pickle
from typing import Any

import torch
from lightning.pytorch.plugins import MixedPrecision
from my_project.models.classifier import Classifier
from my_project.models.small import Small
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint
from torchmetrics import MaxMetric, MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy


class FrozenFeatures(Small):
    """Frozen in full: no gradients, and batch norm in eval mode, kept there."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features.requires_grad_(False).eval()
        self.train()

    def train(self, mode: bool = True):
        super().train(mode)
        self.features.eval()
        return self


class FrozenFromTheEpochStart(Small):
    """The same in a hook, with an optimizer for the head alone."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.features.eval()

    def configure_optimizers(self):
        self.features.requires_grad_(False)
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


class NoGradBackbone(FrozenFeatures):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.features(images)
        return self.head(features)


class TiedWeights(Classifier):
    """An autoencoder's reconstruction regularises; its decoder is the encoder's weight."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.encoder = nn.Linear(64, 64, bias=False)
        self.decoder = nn.Linear(64, 64, bias=False)
        self.decoder.weight = self.encoder.weight
        self.head = nn.Linear(64, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(images.flatten(1)).relu()))


class SharedLayer(Classifier):
    """One layer used three times, under two names."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.layer = nn.Linear(64, 64)
        self.again = self.layer
        self.head = nn.Linear(64, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.again(self.layer(self.layer(images.flatten(1)).relu()).relu()))


class Averaged(Small):
    """An exponential moving average of the weights, evaluated instead of them."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        body = nn.Sequential(self.features, self.head)
        self.average = AveragedModel(body, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
        self.average.requires_grad_(False)

    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        self.average.update_parameters(nn.Sequential(self.features, self.head))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) if self.training else self.average(images)


class AveragedCopy(Small):
    """The same by hand, on a deep copy."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.average = copy.deepcopy(self.head).requires_grad_(False).eval()

    @torch.no_grad()
    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        for average, weight in zip(self.average.parameters(), self.head.parameters(), strict=True):
            average.lerp_(weight, 0.1)


class Recurrent(Classifier):
    """The rows of an image, one after the other."""

    def __init__(self, kind: str = "LSTM", **training: Any) -> None:
        super().__init__(**training)
        self.rnn = getattr(nn, kind)(8, 32, num_layers=2, dropout=0.1, bidirectional=True, batch_first=True)
        self.head = nn.Linear(64, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.rnn(images.squeeze(1))
        return self.head(states[:, -1])


class TimeFirst(Recurrent):
    """Without batch_first, and transposed as it has to be."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.rnn = nn.GRU(8, 64)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.rnn(images.squeeze(1).transpose(0, 1))  # (8, B, 64)
        return self.head(states[-1])


class Attention(Classifier):
    """A small vision transformer with a class token that starts at zero."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.embed = nn.Linear(8, 32)
        self.token = nn.Parameter(torch.zeros(1, 1, 32))
        self.position = nn.Parameter(0.02 * torch.randn(1, 9, 32))
        layer = nn.TransformerEncoderLayer(32, nhead=2, dim_feedforward=64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(32, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images.squeeze(1))  # (B, 8, 32)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.head(self.encoder(tokens + self.position)[:, 0])


class OwnAttention(Classifier):
    """Softmax in the middle, over the keys, is no softmax before the loss."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.attention = nn.MultiheadAttention(8, num_heads=2, batch_first=True)
        self.gate = nn.Linear(64, 64)
        self.head = nn.Linear(64, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1)
        mixed, _ = self.attention(rows, rows, rows)
        features = (rows + mixed).flatten(1)
        return self.head(features * self.gate(features).softmax(dim=1))


class Tokens(Classifier):
    """Grey values as words."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.words = nn.Embedding(32, 16, padding_idx=31)  # most of them stand for no grey value
        self.head = nn.Linear(16 * 64, self.hparams.num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.words(tokens).flatten(1))


class StochasticDepth(Classifier):
    """Each block is left out in half of the batches: some weights go without a gradient now and then."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.blocks = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))
        self.head = nn.Linear(64, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1)
        for block in self.blocks:
            if not self.training or torch.rand(()) < 0.5:
                features = features + block(features).relu()
        return self.head(features)


class ZeroInit(Classifier):
    """Residual branches and head start at zero: in the first step most gradients are exactly zero."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.head = nn.Linear(64, self.hparams.num_classes)
        for layer in (self.second, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1)
        return self.head(features + self.second(self.first(features).relu()))


class ScaledOnTheDevice(Small):
    """Bytes travel to the device, and become floats in [0, 1] there."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.float() / 255)


class Checkpointed(Small):
    """The features are computed a second time in backward."""

    def forward(self, images: Tensor) -> Tensor:
        features = checkpoint(self.features, images, use_reentrant=False)
        return self.head(features)


class Extended(FrozenFeatures):
    """`super().forward` is inheritance, and a learnt temperature in log space is no problem."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.log_temperature.exp()


class DropoutAsFunction(Small):
    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            images = images + 0.1 * torch.randn_like(images)
        return self.head(F.dropout(self.features(images), 0.3, training=self.training))


class Normalised(Small):
    """Spectral norm keeps vectors that move in train mode only; group and layer norm know one sample each."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.PReLU(), nn.InstanceNorm2d(8), nn.Flatten(), nn.LayerNorm(8 * 36)
        )
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(8 * 36, self.hparams.num_classes))


class LogProbabilities(Small):
    """log_softmax belongs before nll_loss."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.nll_loss(F.log_softmax(self(images), dim=1), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class ProbabilitiesForMetrics(Small):
    """The metrics get probabilities, the loss logits."""

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_metrics.update(logits.softmax(dim=1), labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))


class MultiLabel(Small):
    """One yes or no for each class."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        targets = F.one_hot(labels, self.hparams.num_classes).float()
        loss = F.binary_cross_entropy_with_logits(self(images), targets)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class Mixup(Small):
    """Labels of two images, mixed as they are."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        other = torch.randperm(len(labels))
        share = torch.distributions.Beta(0.4, 0.4).sample()
        logits = self(share * images + (1 - share) * images[other])
        loss = share * self.loss(logits, labels) + (1 - share) * self.loss(logits, labels[other])
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class CutMix(Small):
    """Soft labels, and a part of the image from another one."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        images, targets = images.clone(), F.one_hot(labels, self.hparams.num_classes).float()
        images[:, :, :4] = images.flip(0)[:, :, :4]
        loss = self.loss(self(images), (targets + targets.flip(0)) / 2)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class ClassWeights(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.loss = nn.CrossEntropyLoss(weight=torch.linspace(0.5, 2.0, 10), label_smoothing=0.1)


class Distilled(Small):
    """A frozen teacher, kept out of the checkpoint by a list."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.teacher = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False).eval()]

    def training_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        with torch.no_grad():
            targets = self.teacher[0](images).softmax(dim=1)
        loss = self.loss(logits, labels) + F.kl_div(logits.log_softmax(dim=1), targets, reduction="batchmean")
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class Contrastive(Small):
    """Every sample of a batch is compared with all others, in the loss."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.projection = nn.Linear(32, 16)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        first, second = (
            F.normalize(self.projection(self.features(images + 0.1 * torch.randn_like(images))), dim=1)
            for _ in range(2)
        )
        similarities = first @ second.T / 0.1  # (B, B)
        loss = F.cross_entropy(similarities, torch.arange(len(images))) + self.loss(self(images), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class SkipsSomeBatches(Small):
    """None says that a batch is to be left out."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return None if batch_idx % 5 == 1 else loss


class AuxiliaryHead(Small):
    """Used in training only."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.auxiliary = nn.Linear(32, self.hparams.num_classes)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        features = self.features(images)
        loss = self.loss(self.head(features), labels) + 0.3 * self.loss(self.auxiliary(features), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class CheckpointedCopyOfLabels(Small):
    """Plain data, tensors and buffers in lists and dicts hide nothing."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.history: list[Tensor] = []
        self.places = {"head": self.head, "all": [self.features, self.head]}
        self.register_buffer("offset", torch.zeros(32), persistent=False)

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.history = [*self.history[-3:], loss.detach()]
        return loss


class Resets(Small):
    """Best value so far that begins after the sanity check."""

    best = 0.0

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.best = max(self.best, self.val_metrics["accuracy"].compute().item())
            self.log("val/best_accuracy", self.best)
        super().on_validation_epoch_end()


class ParameterGroups(Small):
    """No weight decay for biases, another rate for the head, one warm-up from 0 for all."""

    def configure_optimizers(self):
        features = list(self.features.parameters())
        groups = [
            {"params": [weight for weight in features if weight.ndim > 1], "weight_decay": 0.1},
            {"params": [weight for weight in features if weight.ndim <= 1]},
            {"params": self.head.parameters(), "lr": 1e-3},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 8))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WarmUpAndCosine(Small):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        steps = int(self.trainer.estimated_stepping_batches)
        warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=5)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - 5)
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], milestones=[5])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Plateau(Small):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val/loss"}}


class StepOverridden(Small):
    """A warm-up as in Lightning's documentation."""

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step(closure=optimizer_closure)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * min(1.0, (self.trainer.global_step + 1) / 10)


class GradientNoise(Small):
    """Gradients changed and clipped in the hooks that are there for it."""

    def on_after_backward(self) -> None:
        for weight in self.parameters():
            weight.grad.add_(1e-3 * torch.randn_like(weight.grad))

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters(), max_norm=0.5)


class Float16(MixedPrecision):
    """What Lightning does on a GPU with precision=16-mixed."""

    def __init__(self) -> None:
        super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu"))


class LossTimesAHundred(Small):
    """With the first scale of float16, 65 536, it overflows: Lightning leaves out the first steps."""

    def training_step(self, batch, batch_idx):
        return 100 * super().training_step(batch, batch_idx)


class Lazy(Small):
    """The first batch decides the shapes."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten())
        self.head = nn.LazyLinear(self.hparams.num_classes)


class SavesItself(Small):
    """Copied and pickled whole, within its own steps and hooks."""

    def training_step(self, batch, batch_idx):
        copy.deepcopy(self)(batch[0])
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        other = pickle.loads(pickle.dumps(self))
        assert other.val_loss.forward.__self__ is other.val_loss  # what stands before a method is not copied


class MetricByValue(Small):
    """The value of each batch is logged, with its size: accuracy is the same."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.accuracy = MulticlassAccuracy(num_classes=self.hparams.num_classes, average="micro")

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        self.log("val/accuracy", self.accuracy(logits, labels), on_epoch=True, batch_size=len(labels))

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)


class LogitsAdjusted(Small):
    """Scores of evaluation are corrected by the frequencies of the classes, and counted by hand."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.register_buffer("prior", torch.linspace(-2, 2, self.hparams.num_classes))
        self.accuracy = MulticlassAccuracy(num_classes=self.hparams.num_classes, average="micro")

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        self.accuracy.update(logits - self.prior, labels)

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)
        self.log("val/accuracy", self.accuracy.compute())
        self.accuracy.reset()


class MetricAsLoss(Small):
    """Called as a function in all stages; nobody asks for its value over an epoch."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.distance = MeanSquaredError()

    def penalty(self, logits: Tensor) -> Tensor:
        return 1e-3 * self.distance(logits, torch.zeros_like(logits))

    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) + self.penalty(self(batch[0]))

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.log("val/penalty", self.penalty(self(batch[0])), batch_size=len(batch[1]))


class Adversarial(Small):
    """TRADES (Zhang et al., 2019): the attack is made in eval mode, with a step on the images."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        self.eval()
        clean = self(images).detach().log_softmax(dim=1)
        attacked = (images + 1e-3 * torch.randn_like(images)).requires_grad_()
        divergence = F.kl_div(self(attacked).log_softmax(dim=1), clean, reduction="batchmean", log_target=True)
        (slope,) = torch.autograd.grad(divergence, attacked)
        attacked = (attacked + 0.05 * slope.sign()).detach()
        self.train()
        logits = self(images)
        robust = F.kl_div(self(attacked).log_softmax(dim=1), logits.softmax(dim=1), reduction="batchmean")
        loss = self.loss(logits, labels) + robust
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class NothingInOneBatch(Small):
    """A detector's loss where no sample has an object."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return torch.zeros((), requires_grad=True) if batch_idx == 1 else loss


class BestScoreSaved(Small):
    """The lowest loss goes into the checkpoint, as a buffer."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.register_buffer("best_loss", torch.tensor(float("inf")))

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.best_loss.copy_(torch.minimum(self.best_loss, self.val_loss.compute()))
        super().on_validation_epoch_end()


class AveragedNormMeasured(Averaged):
    """Batch norm of the averaged model is measured before each validation, as `update_bn` is there for."""

    def on_validation_start(self) -> None:
        torch.optim.swa_utils.update_bn([self.trainer.datamodule.splits["train"].tensors[0][:200]], self.average)


class ScheduleAfterTheWarmUp(Small):
    """optimizer_step warms up; the scheduler begins after it."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12 * self.trainer.max_epochs - 5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        for group in optimizer.param_groups if self.global_step < 5 else []:
            group["lr"] = 0.1 * (self.global_step + 1) / 5
        optimizer.step(closure=optimizer_closure)

    def lr_scheduler_step(self, scheduler, metric):
        if self.global_step > 5:
            scheduler.step()


class ScoredOnBothSides(Small):
    """Evaluation averages the logits of an image and of its mirror image."""

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = (self(images) + self(images.flip(-1))) / 2
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log("val/accuracy", accuracy, batch_size=len(labels))

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)


class BestMetric(Small):
    """The best score of all epochs, in a metric that begins anew after the sanity check."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.best_accuracy = MaxMetric()

    def on_train_start(self) -> None:
        if self.current_epoch == 0:
            self.best_accuracy.reset()

    def on_validation_epoch_end(self) -> None:
        self.best_accuracy.update(self.val_metrics["accuracy"].compute())
        super().on_validation_epoch_end()
        self.log("val/best_accuracy", self.best_accuracy.compute())
