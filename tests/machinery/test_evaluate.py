"""A run's checkpoint is scored on the run's data, wherever they lie, or on others; what does not belong together is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import summary_of
from my_project.data.tables import penguins
from my_project.engine.errors import ConfigError
from my_project.engine.run import evaluate, train

from .image_folders import CLASSES, write
from .rows import rows

FAST = ["trainer.accelerator=cpu", "trainer.max_epochs=2", "checks=skip", "callbacks.progress=null"]


@pytest.fixture
def score(compose_config):
    """Return a function that scores a run as evaluate.py would with these values, which it writes as ++data.x=y."""

    def scored(cfg, *overrides):
        prefixed = [f"++{override}" if override.startswith("data.") else override for override in overrides]
        return evaluate(compose_config(f"run={cfg.run_dir}", *prefixed, config_name="evaluate"))

    return scored


@pytest.fixture(scope="module")
def digits(compose_config):
    cfg = compose_config("name=scored", "model=mlp", *FAST)
    train(cfg)
    return cfg


@pytest.fixture(scope="module")
def photos(compose_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    cfg = compose_config("name=photos", *write("image_folder", folder), *FAST)
    train(cfg)
    return cfg, folder


def numbers_of(cfg):
    return {name: metric for name, metric in summary_of(cfg)["metrics"].items() if name.startswith("test/")}


def test_the_runs_own_data_give_its_own_numbers_and_not_a_word(digits, score, capsys):
    assert score(digits, "data.batch_size=7") == numbers_of(digits)
    assert "the data" not in capsys.readouterr().out


def test_other_data_are_scored_and_said_to_be_other(digits, score, capsys):
    metrics = score(digits, "data.val_fraction=0.1", "split=val")
    assert metrics["val/loss"]["num_samples"] == 142
    assert "the data are not the run's (split_sha256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.split_sed=3", r"data\.split_sed .*did you mean split_seed"),
        ("data.augment.affine.degree=3", "did you mean degrees"),
        ("++trainer.acelerator=cpu", "did you mean accelerator"),
    ],
)
def test_a_misspelt_key_is_refused(digits, score, override, message):
    with pytest.raises(ConfigError, match=message):
        score(digits, override)


def test_data_that_have_moved_are_the_runs_and_changed_ones_are_not(photos, score, compose_config, tmp_path, capsys):
    cfg, folder = photos
    there = shutil.copytree(folder / "images", tmp_path / "there")  # with other times
    (there / "cat" / "0.jpg").touch()
    assert score(cfg, f"data.root='{there}'") == numbers_of(cfg)
    train(compose_config("name=photos", *write_again(folder), f"data.root='{there}'", *FAST))
    assert "the data" not in capsys.readouterr().out
    shutil.copy(there / "cat" / "0.jpg", there / "cat" / "4.jpg")
    score(cfg, f"data.root='{there}'")
    assert "the data are not the run's" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"data has changed .* evaluate\.py with their place"):
        train(compose_config("name=photos", *write_again(folder), f"data.root='{there}'", *FAST))


def write_again(folder: Path) -> list[str]:
    """The overrides of `write`, whose files are there."""
    return ["data=image_folder", f"data.cache_dir='{folder / 'cache'}'", "data.size=16", "data.batch_size=16"]


def test_an_unfinished_run_continues_where_its_data_lie_now(compose_config, tmp_path, monkeypatch):
    common = ["name=moving", "test=false", *FAST]
    cfg = compose_config(*write("image_folder", tmp_path), *common)
    with monkeypatch.context() as patch:
        patch.setattr("my_project.engine.run.why_stopped", lambda trainer: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(cfg)
    (tmp_path / "images").rename(tmp_path / "there")
    now = compose_config(*write_again(tmp_path), f"data.root='{tmp_path / 'there'}'", *common)
    train(now)
    assert summary_of(now)["status"] == "finished"
    with pytest.raises(ConfigError, match=r"another config[^\n]*\n  data\.size"):
        train(compose_config(*write_again(tmp_path), f"data.root='{tmp_path}'", "data.size=8", *common))


def test_classes_have_the_numbers_they_had_in_training(photos, score, tmp_path):
    cfg, folder = photos
    own = score(cfg, "split=val", "data.val_fraction=0.4", "data.test_fraction=0.4")["val/accuracy"]["value"]
    for name in CLASSES[1:]:
        shutil.copytree(folder / "images" / name, tmp_path / "fewer" / name)
    fewer = score(cfg, f"data.root='{tmp_path / 'fewer'}'", "data.val_fraction=0.4", "data.test_fraction=0.4")
    assert own > 0.9 < fewer["test/accuracy"]["value"]
    (tmp_path / "fewer" / "hen").rename(tmp_path / "fewer" / "cow")
    with pytest.raises(ConfigError, match="classes that the model does not know: 'cow'"):
        score(cfg, f"data.root='{tmp_path / 'fewer'}'")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_of_another_table_are_encoded_as_those_of_training(compose_config, score, tmp_path, task):
    table = rows(600).assign(amount=lambda frame: 3 * frame["size"] + 100)
    table.to_csv(tmp_path / "table.csv", index=False)
    target = ["data.target=class", "data.drop=[amount]"]
    if task == "regression":
        target = ["data.target=amount", "data.drop=[class]", "data.task=regression", "model=tabular_regressor"]
        target += ["loss=mse", "metrics=regression"]
    model = [] if task == "regression" else ["model=tabular_mlp"]
    cfg = compose_config("data=table", f"data.path='{tmp_path / 'table.csv'}'", *model, *target, *FAST, f"name={task}")
    train(cfg)
    old = score(cfg)
    # Twice the same: the rows of the run's own test, in a file whose mean and deviation are others.
    shifted = table[table["size"] > 40]
    shifted.to_csv(tmp_path / "large.csv", index=False)
    name = "test/accuracy" if task == "classification" else "test/mae"
    large = score(cfg, f"data.test_path='{tmp_path / 'large.csv'}'")[name]
    assert large["num_samples"] == len(shifted)
    assert np.isclose(
        large["value"],
        score(cfg, f"data.path='{tmp_path / 'large.csv'}'", f"data.test_path='{tmp_path / 'large.csv'}'")[name][
            "value"
        ],
    )
    assert name in old


def test_the_penguins_are_scored_on_other_rows(compose_config, score, tmp_path, capsys):
    train(cfg := compose_config("data=penguins", "model=tabular_mlp", *FAST))
    lines = (Path(penguins.__file__).with_name("penguins.csv")).read_text().splitlines(keepends=True)
    (tmp_path / "rows.csv").write_text("".join([lines[0], *lines[1::2]]))
    assert score(cfg, f"data.path={tmp_path}/rows.csv")["test/accuracy"]["num_samples"] == 34
    assert "the data are not the run's (split_sha256" in capsys.readouterr().out


def test_data_of_other_classes_are_refused(digits, score, photos):
    _, folder = photos
    with pytest.raises(ConfigError, match="data has num_classes 3, but the model was trained for 10"):
        score(digits, "+data=image_folder", f"data.root='{folder / 'images'}'", f"data.cache_dir='{folder / 'cache'}'")


@pytest.fixture
def two_bests(compose_config):
    """The config of a run, and its folder of checkpoints with an older best checkpoint beside them."""
    overrides = ["name=bests", "model=mlp", *FAST, "overwrite=true"]
    older = compose_config(*overrides, "trainer.max_epochs=1")
    train(older)
    folder = Path(older.run_dir) / "checkpoints"
    content = (folder / "best.ckpt").read_bytes()
    cfg = compose_config(*overrides)
    train(cfg)
    (folder / "older.ckpt").write_bytes(content)
    return cfg, folder


@pytest.mark.parametrize("other", ["older", "last"])
def test_another_file_beside_the_record_of_the_best_is_an_error(score, two_bests, other):
    cfg, folder = two_bests
    checkpoint = torch.load(folder / f"{other}.ckpt", weights_only=True)
    checkpoint["global_step"] += other == "last"  # which knows the best score, and may have gone on since
    torch.save(checkpoint, folder / "best.ckpt")
    with pytest.raises(ConfigError, match=r"best\.ckpt .* is older than the best of the run"):
        score(cfg)
    assert score(cfg, "checkpoint=last")


@pytest.mark.parametrize("how", ["older", "gone", "truncated"])
def test_a_finished_training_without_its_best_checkpoint_can_be_ended_with_the_last(
    compose_config, score, two_bests, how, capsys
):
    cfg, folder = two_bests
    if how == "older":
        shutil.copy(folder / "older.ckpt", folder / "best.ckpt")
    elif how == "gone":
        (folder / "best.ckpt").unlink()
    else:
        (folder / "best.ckpt").write_bytes((folder / "best.ckpt").read_bytes()[:5000])
    summary = Path(cfg.run_dir) / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"failed"'))
    again = ["name=bests", "model=mlp", *FAST]
    with pytest.raises(ConfigError, match="checkpoint=last"):
        train(compose_config(*again))
    train(compose_config(*again, "checkpoint=last"))
    assert "scored with its last.ckpt instead of its best.ckpt" in capsys.readouterr().out
    ended = summary_of(cfg)
    assert (ended["status"], ended["checkpoint"]) == ("finished", "checkpoints/last.ckpt")
    assert score(cfg) == numbers_of(cfg)
    train(compose_config(*again))  # the config is what it was
