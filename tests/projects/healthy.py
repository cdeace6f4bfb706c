"""Projects with nothing wrong."""

from projects.project import MANUAL, Project

UNTESTED = ("test=false",)  # no test_step

SHIPPED = [
    Project(overrides=(f"model={model}", f"optimizer={optimizer}", f"scheduler={scheduler}"), name=name)
    for model in ("cnn", "mlp")
    for optimizer in ("adamw", "sgd")
    for scheduler in ("none", "onecycle", "cosine")
    if (name := f"shipped.{model}-{optimizer}-{scheduler}")
]

TRAINER = [
    Project(name="config.accumulation", overrides=("trainer.accumulate_grad_batches=4",)),
    Project(name="config.bfloat16", overrides=("trainer.precision=bf16-mixed",)),
    Project(name="config.float64", overrides=("trainer.precision=64-true",)),
    Project(name="config.compile", overrides=("model=mlp", "model.hidden_sizes=[32]", "model.compile=true")),
    Project(name="config.no clipping", overrides=("trainer.gradient_clip_val=null",)),
    Project(name="config.clipping by value", overrides=("+trainer.gradient_clip_algorithm=value",)),
    Project(name="config.overfit one batch", overrides=("+trainer.overfit_batches=1",)),
    Project(name="config.no sanity check", overrides=("+trainer.num_sanity_val_steps=0",)),
    Project(name="config.validation within the epoch", overrides=("+trainer.val_check_interval=0.25",)),
    Project(name="config.part of validation", overrides=("+trainer.limit_val_batches=3",)),
    Project(name="config.no validation", overrides=("+trainer.limit_val_batches=0", "callbacks.early_stopping=null")),
    Project(name="config.large batches", overrides=("data.batch_size=2000",)),
    Project(name="config.single samples", overrides=("model=cnn", "data.batch_size=2")),
    Project(name="config.workers", overrides=("data.num_workers=2",)),
    Project(name="config.label smoothing", overrides=("loss.label_smoothing=0.1",)),
    Project(
        name="config.weight averaging",
        overrides=("+callbacks.ema={_target_: lightning.pytorch.callbacks.EMAWeightAveraging, decay: 0.9}",),
    ),
    Project(
        name="config.stochastic weight averaging",
        overrides=(
            "+callbacks.swa={_target_: lightning.pytorch.callbacks.StochasticWeightAveraging, swa_lrs: 0.01}",
            "scheduler=none",
            "trainer.max_epochs=3",
        ),
    ),
]

FLOAT16 = ("++trainer.plugins._target_=my_project.models.healthy.Float16", "trainer.precision=null")

MODELS = [
    "FrozenFeatures",
    "FrozenFromTheEpochStart",
    "NoGradBackbone",
    "TiedWeights",
    "SharedLayer",
    "Averaged",
    "AveragedCopy",
    "Recurrent",
    "TimeFirst",
    "Attention",
    "OwnAttention",
    "StochasticDepth",
    "ZeroInit",
    "Checkpointed",
    "Extended",
    "DropoutAsFunction",
    "Normalised",
    "LogProbabilities",
    "ProbabilitiesForMetrics",
    "MultiLabel",
    "Mixup",
    "CutMix",
    "ClassWeights",
    "Distilled",
    "Contrastive",
    "SkipsSomeBatches",
    "AuxiliaryHead",
    "CheckpointedCopyOfLabels",
    "Resets",
    "ParameterGroups",
    "WarmUpAndCosine",
    "Plateau",
    "StepOverridden",
    "GradientNoise",
    "Lazy",
    "SavesItself",
    "MetricByValue",
    "LogitsAdjusted",
    "MetricAsLoss",
    "Adversarial",
    "NothingInOneBatch",
    "BestScoreSaved",
    "AveragedNormMeasured",
    "ScheduleAfterTheWarmUp",
    "ScoredOnBothSides",
    "BestMetric",
]

MANUALS = [
    "Plain",
    "PlainTorch",
    "GradientsSetToNone",
    "Accumulated",
    "AccumulatedOverManyBatches",
    "TwoLosses",
    "Scaled",
    "ScaledTooFar",
    "ScaledTooFarAccumulated",
    "ScaledTooFarAndFused",
    "Lbfgs",
    "ClearsAtTheEnd",
    "SharpnessAware",
    "GradientPenalty",
    "HeadEverySecondBatch",
    "HealthyGan",
    "GanWithToggle",
    "WassersteinGan",
    "GanClearsBothAtOnce",
    "Alternating",
    "PerturbationKept",
    "LargeGradientsSkipped",
]

OTHERS = [
    Project("healthy.LossTimesAHundred", overrides=FLOAT16),
    Project(
        "healthy.LossTimesAHundred", overrides=(*FLOAT16, "trainer.gradient_clip_val=null"), name="healthy.NotClipped"
    ),
    Project("healthy.Tokens", data="healthy.GreyValues"),
    Project("healthy.ScaledOnTheDevice", data="wrong.WholeNumbers"),
    Project(data="healthy.PlainLoader"),
    Project(data="healthy.Augmented"),
    Project(data="healthy.Balanced"),
    Project(data="healthy.OwnBatches"),
    Project(data="healthy.Streamed"),
    Project(data="healthy.Standardised"),
    Project(data="wrong.UnequalValBatches"),
    Project("healthy_other.Autoencoder", data="healthy.Unlabelled", overrides=UNTESTED),
    Project("healthy_other.VariationalAutoencoder", data="healthy.Unlabelled", overrides=UNTESTED),
    Project("healthy_other.Regression", data="healthy.Brightness"),
    Project("healthy_other.PlainClassifier", overrides=UNTESTED),
    Project("healthy_other.PlainClassifier", data="healthy.Dicts", overrides=UNTESTED, name="healthy.Dicts"),
]

HEALTHY = [
    *SHIPPED,
    *TRAINER,
    *(Project(f"healthy.{name}") for name in MODELS),
    *(Project(f"healthy_manual.{name}", overrides=MANUAL) for name in MANUALS),
    *OTHERS,
]

PATIENTS = ["shipped.cnn-adamw-onecycle", "healthy.Averaged", "healthy_manual.HealthyGan", "healthy.Streamed"]
PATIENTS += ["healthy_other.VariationalAutoencoder", "healthy_other.PlainClassifier"]
HEALTHY_PATIENTS = [project for project in HEALTHY if project.id in PATIENTS]  # for the doctor, who takes his time
