"""Every metric is that of the whole split, whatever the batches: compared with scikit-learn, or with the definition."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROJECT, summary_of
from lightning import Trainer
from my_project.engine.build import build, build_model
from my_project.engine.run import train
from my_project.models.classifier import Classifier
from my_project.models.regressor import Regressor
from omegaconf import OmegaConf
from sklearn import metrics as sk
from torch import Tensor
from torch.utils.data import DataLoader

CLASSES = 7
LOSSES = {Classifier: "torch.nn.CrossEntropyLoss", Regressor: "torch.nn.MSELoss"}


def shipped(name: str) -> dict[str, dict[str, Any]]:
    return OmegaConf.to_container(OmegaConf.load(PROJECT / "configs" / "metrics" / f"{name}.yaml"))


def block(name: str, package: str = "classification", **values: Any) -> dict[str, Any]:
    return {"_target_": f"torchmetrics.{package}.{name}", **values}


def top(k):
    return lambda y, p: sk.top_k_accuracy_score(y, p, k=k, labels=range(CLASSES))


def of_classes(function, **options):
    return lambda y, p: function(y, p.argmax(1), **options)


def specificity(y, p):
    matrix = sk.confusion_matrix(y, p.argmax(1))
    negatives = matrix.sum() - matrix.sum(0) - matrix.sum(1) + np.diag(matrix)
    return (negatives / (matrix.sum() - matrix.sum(1))).mean()


MACRO = {"average": "macro", "zero_division": 0}
CLASSIFICATION = {
    "accuracy": (shipped("classification")["accuracy"], of_classes(sk.accuracy_score)),
    "f1": (shipped("classification")["f1"], of_classes(sk.f1_score, **MACRO)),
    "top2": (block("MulticlassAccuracy", top_k=2, average="micro"), top(2)),
    "top5": (block("MulticlassAccuracy", top_k=5, average="micro"), top(5)),
    "balanced": (block("MulticlassAccuracy", average="macro"), of_classes(sk.balanced_accuracy_score)),
    "precision": (block("MulticlassPrecision", average="macro"), of_classes(sk.precision_score, **MACRO)),
    "recall": (block("MulticlassRecall", average="macro"), of_classes(sk.recall_score, **MACRO)),
    "micro_f1": (block("MulticlassF1Score", average="micro"), of_classes(sk.f1_score, average="micro")),
    "f2": (block("MulticlassFBetaScore", beta=2.0, average="macro"), of_classes(sk.fbeta_score, beta=2, **MACRO)),
    "specificity": (block("MulticlassSpecificity", average="macro"), specificity),
    "kappa": (block("MulticlassCohenKappa"), of_classes(sk.cohen_kappa_score)),
    "mcc": (block("MulticlassMatthewsCorrCoef"), of_classes(sk.matthews_corrcoef)),
    "jaccard": (block("MulticlassJaccardIndex", average="macro"), of_classes(sk.jaccard_score, average="macro")),
    "hamming": (block("MulticlassHammingDistance", average="micro"), of_classes(sk.hamming_loss)),
    "auroc": (block("MulticlassAUROC"), lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr")),
    "ap": (block("MulticlassAveragePrecision"), lambda y, p: sk.average_precision_score(np.eye(CLASSES)[y], p)),
}
REGRESSION = {
    "mse": (shipped("regression")["mse"], sk.mean_squared_error),
    "mae": (shipped("regression")["mae"], sk.mean_absolute_error),
    "r2": (shipped("regression")["r2"], sk.r2_score),
    "rmse": (block("MeanSquaredError", "regression", squared=False), sk.root_mean_squared_error),
    "mape": (block("MeanAbsolutePercentageError", "regression"), sk.mean_absolute_percentage_error),
    "msle": (block("MeanSquaredLogError", "regression"), sk.mean_squared_log_error),
    "variance": (block("ExplainedVariance", "regression"), sk.explained_variance_score),
    "pearson": (block("PearsonCorrCoef", "regression"), lambda y, p: np.corrcoef(y, p)[0, 1]),
    "spearman": (
        block("SpearmanCorrCoef", "regression"),
        lambda y, p: np.corrcoef(y.argsort().argsort(), p.argsort().argsort())[0, 1],
    ),
    "tweedie": (
        block("TweedieDevianceScore", "regression", power=1.0),
        lambda y, p: sk.mean_tweedie_deviance(y, p, power=1),
    ),
}


def scored(kind: type, metrics: dict[str, Any], outputs: Tensor, targets: Tensor, sizes: list[int]) -> dict[str, float]:
    """Validate a model that returns its inputs, on batches of these sizes."""

    class Given(kind):
        def forward(self, outputs):
            return outputs

    loss = {"_target_": LOSSES[kind]}
    classes = {"num_classes": CLASSES} if kind is Classifier else {}
    model = Given(loss=loss, optimizer={}, metrics={name: block for name, (block, _) in metrics.items()}, **classes)
    batches = list(zip(outputs.split(sizes), targets.split(sizes), strict=True))
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    trainer.validate(model, DataLoader(batches, batch_size=None), verbose=False)
    values = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert values["val/num_samples"] == len(targets)
    return {name.removeprefix("val/"): value for name, value in values.items()}


@pytest.mark.parametrize("first", ["right", "wrong", "mixed"])
def test_metrics_of_classes_are_those_of_the_whole_split(first):
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (211,), generator=random)
    logits = torch.randn(211, CLASSES, generator=random)
    logits[torch.arange(211), labels] += 1
    if first != "mixed":
        logits[torch.arange(64), labels[:64]] += 20 if first == "right" else -20
    values = scored(Classifier, CLASSIFICATION, logits, labels, [64, 64, 64, 19])
    for name, (_, by_hand) in CLASSIFICATION.items():
        assert values[name] == pytest.approx(by_hand(labels.numpy(), logits.softmax(1).numpy()), abs=1e-5), name


@pytest.mark.parametrize("first", ["right", "wrong", "mixed"])
def test_metrics_of_numbers_are_those_of_the_whole_split(first):
    random = torch.Generator().manual_seed(0)
    targets = torch.rand(211, generator=random) + 1
    outputs = targets + 0.3 * torch.rand(211, generator=random)
    if first != "mixed":
        outputs[:64] = targets[:64] if first == "right" else 4 - targets[:64]
    values = scored(Regressor, REGRESSION, outputs, targets, [64, 64, 64, 19])
    for name, (_, by_hand) in REGRESSION.items():
        assert values[name] == pytest.approx(by_hand(targets.numpy(), outputs.numpy()), abs=1e-4), name


def test_processes_that_share_memory_begin_with_states_of_their_own(compose_config):
    """As those of ddp_spawn do: else they would count each other's samples."""
    cfg = compose_config("model=mlp")
    model = build_model(cfg, build(cfg.data))
    states = [model.test_loss.num_samples, model.test_metrics["accuracy"].tp]
    for state in states:
        state.share_memory_()
    model.setup("test")
    assert not model.test_loss.num_samples.is_shared()
    assert not model.test_metrics["accuracy"].tp.is_shared()


@pytest.mark.parametrize("strategy", ["ddp_notebook", pytest.param("ddp_spawn", marks=pytest.mark.slow)])
def test_processes_that_lightning_starts_hand_over_what_they_have_reached(compose_config, strategy, monkeypatch):
    monkeypatch.setenv(
        "OMP_NUM_THREADS", "1"
    )  # else Lightning gives forked processes threads, where they wait for ever
    overrides = ["model=mlp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=3", "optimizer.lr=1"]
    cfg = compose_config(*overrides, f"+trainer.strategy={strategy}", "checks=skip", "callbacks.progress=null")
    train(cfg)
    summary = summary_of(cfg)
    assert {name: metric["num_samples"] for name, metric in summary["metrics"].items()} == {
        "val/loss": 288,
        "test/loss": 360,
        "test/accuracy": 360,
        "test/f1": 360,
    }
    assert summary["stopped"] == "all 3 epochs"
    assert summary["checkpoint"] == "checkpoints/best.ckpt"
    assert 1 <= summary["best_epoch"] <= 3
