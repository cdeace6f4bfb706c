"""New files get the outputs that evaluation gives, to the last bit, with a run or with its checkpoint alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from lightning import Trainer
from machinery.image_folders import write as write_photos
from machinery.rows import rows
from my_project.data.images.class_folders import find_images
from my_project.engine import prediction_file
from my_project.engine.build import build, build_model
from my_project.engine.config_keys import check_config
from my_project.engine.errors import ConfigError
from my_project.engine.predict import predict
from my_project.engine.run import evaluate, train
from my_project.engine.trained import Trained
from PIL import Image

FAST = ["trainer.accelerator=cpu", "trainer.max_epochs=1", "checks=skip", "callbacks.progress=null"]
PENGUINS = ["data=penguins", "model=tabular_mlp"]


@pytest.fixture(scope="module")
def runs(compose_config, tmp_path_factory):
    """The configs of trained runs, by name; the images of `photos` and the rows of `table` lie in a folder beside them."""
    folder = tmp_path_factory.mktemp("data")
    table = rows(700).assign(code=lambda frame: np.arange(len(frame)) % 3)
    table.to_csv(folder / "table.csv", index=False)
    asked = {
        "digits": ["data.augment.affine=null"],
        "photos": [*write_photos("image_folder", folder), "data.test_fraction=0.4", "model=mlp"],
        "table": ["data=table", f"data.path='{folder / 'table.csv'}'", "data.target=class", "model=tabular_mlp"],
        "mass": ["experiment=penguin_mass"],
    }
    cfgs = {name: compose_config(*overrides, *FAST, f"name=predict-{name}") for name, overrides in asked.items()}
    for cfg in cfgs.values():
        train(cfg)
    return cfgs


@pytest.fixture
def predicted(compose_config, tmp_path):
    """Return a function that predicts as predict.py would with these values, and reads what it writes."""

    def table(*overrides, ending=".parquet"):
        path = tmp_path / f"predictions{ending}"
        cfg = compose_config(*overrides, f"output='{path}'", "trainer.accelerator=cpu", config_name="predict")
        check_config(cfg)
        predict(cfg)
        read = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".jsonl": lambda file: pd.read_json(file, lines=True)}
        return read[ending](path)

    return table


def write_test_split(name, cfg, folder):
    """Write the samples of the test split of a run as a user has them; return the value of `input`."""
    data = build(cfg.data)
    if name == "digits":
        for number, pixels in enumerate(data.splits["test"].tensors[0]):
            image = np.round(pixels[0].numpy() * (255 / 16)).astype(np.uint8)
            Image.fromarray(image).save(folder / f"{number:03}.png")
        return str(folder)
    if name == "photos":
        files, _ = find_images(Path(cfg.data.root))
        paths = [f"{cfg.data.root}/{files[place].path}" for place in data.splits["test"].indices]
        (folder / "list.txt").write_text("\n".join(paths))
        return f"{folder}/list.txt"
    pd.read_csv(cfg.data.path).iloc[data.rows["test"]].drop(columns="class").to_csv(folder / "test.csv", index=False)
    return f"{folder}/test.csv"


def logits_of_evaluate(compose_config, cfg, kind):
    """Return the outputs (N, C) that the model of a run gives while evaluate.py scores it."""
    kept = []

    def keep(module, args, outputs):
        if type(module).__name__ == kind:
            kept.append(outputs)

    hook = torch.nn.modules.module.register_module_forward_hook(keep)
    evaluate(compose_config(f"run={cfg.run_dir}", "trainer.accelerator=cpu", config_name="evaluate"))
    hook.remove()
    return torch.cat(kept)


@pytest.mark.parametrize(("name", "kind"), [("digits", "CNN"), ("photos", "MLP"), ("table", "TabularMLP")])
def test_the_probabilities_are_those_of_evaluates_logits_bit_for_bit(
    runs, predicted, compose_config, tmp_path, name, kind
):
    given = write_test_split(name, runs[name], tmp_path)
    table = predicted(f"run={runs[name].run_dir}", f"input='{given}'")
    shares = logits_of_evaluate(compose_config, runs[name], kind).softmax(dim=1).numpy()
    assert len(table) == len(shares) > 17
    assert np.array_equal(table.filter(like="p_").to_numpy(), shares)
    names = [column.removeprefix("p_") for column in table if column.startswith("p_")]
    assert [*table["class"]] == [names[place] for place in shares.argmax(axis=1)]
    assert table["error"].isna().all()


@pytest.mark.parametrize("name", ["digits", "table"])
def test_a_checkpoint_alone_on_another_machine_predicts_the_same(runs, predicted, tmp_path, name, monkeypatch):
    given = write_test_split(name, runs[name], tmp_path)
    with_run = predicted(f"run={runs[name].run_dir}", f"input='{given}'")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(f"{runs[name].run_dir}/checkpoints/best.ckpt", tmp_path / "elsewhere" / "copied.ckpt")
    monkeypatch.chdir(tmp_path / "elsewhere")
    pd.testing.assert_frame_equal(predicted("checkpoint=copied.ckpt", f"input='{given}'"), with_run)


def test_csv_parquet_and_json_lines_hold_the_same(runs, predicted, tmp_path, monkeypatch):
    given = write_test_split("table", runs["table"], tmp_path)
    values = [f"run={runs['table'].run_dir}", f"input='{given}'"]
    expected = predicted(*values).drop(columns="error")
    for ending in (".csv", ".jsonl"):
        table = predicted(*values, ending=ending).drop(columns="error")
        pd.testing.assert_frame_equal(table.astype(expected.dtypes), expected)
    monkeypatch.setattr(prediction_file, "pa", None)  # as where pyarrow is not installed
    pd.testing.assert_frame_equal(
        predicted(*values, ending=".csv").drop(columns="error").astype(expected.dtypes), expected
    )
    with pytest.raises(ConfigError, match="needs pyarrow"):
        predicted(*values)


def test_a_bad_file_is_said_in_its_row_and_the_others_are_predicted(runs, predicted, tmp_path, capsys):
    given = Path(write_test_split("digits", runs["digits"], tmp_path))
    good = predicted(f"run={runs['digits'].run_dir}", f"input='{given}'")
    content = (given / "007.png").read_bytes()
    (given / "007.png").write_bytes(content[:60])
    (given / "notes.md").write_text("no image, and not meant to be one")
    table = predicted(f"run={runs['digits'].run_dir}", f"input='{given}'")
    assert "360 samples, 1 with an error" in capsys.readouterr().out
    (bad,) = table.index[table["error"].notna()]
    assert table["source"][bad] == f"{given}/007.png"
    assert table.loc[bad, ["class", "p_0", "p_9"]].isna().all()
    pd.testing.assert_frame_equal(table.drop(bad), good.drop(bad), check_dtype=False)
    missing = predicted(f"run={runs['digits'].run_dir}", f"input=['{given}/000.png','{given}/none.png']")
    assert [*missing["error"].isna()] == [True, False]


BAD_ROWS = """size,age,city,married,code
50,30,Bern,True,1
51,31,Oslo,False
52,thirty,Oslo,False,1

53,33,"Ro
me",TRUE,2
54,34,Lima,true,0,9
55,inf,Nowhere,,
56,NA,Kyiv,False,1
57
"""


@pytest.mark.parametrize("chunk_bytes", [2**24, 60])
def test_a_bad_row_is_said_in_its_row_whatever_the_parts_a_file_is_read_in(
    runs, predicted, tmp_path, monkeypatch, chunk_bytes
):
    monkeypatch.setattr("my_project.data.tables.row_inputs.CHUNK_BYTES", chunk_bytes)
    (tmp_path / "rows.csv").write_text(BAD_ROWS)
    table = predicted(f"run={runs['table'].run_dir}", f"input='{tmp_path}/rows.csv'", "batch_size=2")
    assert [*table["source"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert dict(table.set_index("source")["error"].dropna()) == {
        2: "4 values for 5 columns",
        3: "column 'age': thirty is no number",
        5: "6 values for 5 columns",
        6: "column 'age': inf is no number",
        8: "1 values for 5 columns",
    }
    assert [*table["class"].isna()] == [False, True, True, False, True, True, False, True]


def test_a_large_file_is_read_in_parts_that_change_nothing(runs, predicted, tmp_path, monkeypatch):
    rows(5000, seed=3).assign(code=1).to_csv(tmp_path / "rows.csv", index=False)
    rows(5000, seed=3).assign(code=1).to_parquet(tmp_path / "rows.parquet")
    values = [f"run={runs['table'].run_dir}", "batch_size=500"]
    whole = predicted(*values, f"input='{tmp_path}/rows.csv'")
    pd.testing.assert_frame_equal(predicted(*values, f"input='{tmp_path}/rows.parquet'"), whole)
    monkeypatch.setattr("my_project.data.tables.row_inputs.CHUNK_BYTES", 9000)
    monkeypatch.setattr("my_project.engine.predict.ROWS", 1000)
    parts = predicted(*values, f"input='{tmp_path}/rows.csv'")
    assert [*parts["source"]] == [*range(1, 5001)]
    assert np.allclose(parts.filter(like="p_"), whole.filter(like="p_"), atol=1e-6)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("name", ["digits", "table", "mass"])
def test_an_empty_input_gives_an_empty_output_with_its_columns(runs, compose_config, tmp_path, name, ending):
    given, path = tmp_path / "nothing", tmp_path / f"out{ending}"
    if name == "digits":
        given.mkdir()
    else:
        shutil.copy(runs[name].data.get("path") or Path(build(runs[name].data).paths["path"]), tmp_path / "rows.csv")
        given = tmp_path / "rows.csv"
        given.write_text(given.read_text().partition("\n")[0] + "\n")
    predict(compose_config(f"run={runs[name].run_dir}", f"input='{given}'", f"output='{path}'", config_name="predict"))
    columns = {"digits": ["class", *(f"p_{n}" for n in range(10))], "mass": ["value"]}
    expected = ["source", *columns.get(name, ["class", "p_bad", "p_good"]), "error"]
    if ending == ".jsonl":
        assert path.read_text() == ""
    elif ending == ".csv":
        assert [*pd.read_csv(path)] == expected
    else:
        assert pyarrow.parquet.read_table(path).schema.names == expected


def test_the_most_probable_classes_and_numbers_have_columns_of_their_own(runs, predicted, tmp_path):
    given = write_test_split("digits", runs["digits"], tmp_path)
    top = predicted(f"run={runs['digits'].run_dir}", f"input='{given}'", "top=2")
    assert [*top] == ["source", "class", "p", "class_2", "p_2", "error"]
    every = predicted(f"run={runs['digits'].run_dir}", f"input='{given}'")
    assert [*top["class"]] == [*every["class"]]
    assert np.array_equal(np.sort(every.filter(like="p_"))[:, -2], top["p_2"])
    penguins = build(runs["mass"].data).paths["path"]
    mass = predicted(f"run={runs['mass'].run_dir}", f"input='{penguins}'")
    assert [*mass] == ["source", "value", "error"]
    assert mass["value"].between(2000, 7000).all()


def test_one_image_without_an_output_is_printed(runs, compose_config, tmp_path, capsys):
    given = write_test_split("digits", runs["digits"], tmp_path)
    predict(compose_config(f"run={runs['digits'].run_dir}", f"input='{given}/000.png'", config_name="predict"))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed[0].removeprefix(f"{given}/000.png: ").split()) == 10  # five classes and their probabilities


def test_a_temperature_fitted_on_validation_makes_its_loss_least_and_is_kept(runs, predicted, tmp_path, capsys):
    given, run = write_test_split("digits", runs["digits"], tmp_path), Path(runs["digits"].run_dir)
    plain = predicted(f"run={run}", f"input='{given}'").filter(like="p_").to_numpy()
    calibrated = predicted(f"run={run}", f"input='{given}'", "calibrate=true").filter(like="p_").to_numpy()
    kept = json.loads((run / "calibration.json").read_text())
    assert kept["val_loss"][1] < kept["val_loss"][0]
    assert f"temperature {kept['temperature']:.4f}" in capsys.readouterr().out
    expected = torch.tensor(plain.copy()).double().pow(1 / kept["temperature"])
    assert np.allclose(calibrated, expected / expected.sum(dim=1, keepdim=True), atol=1e-5)
    (run / "calibration.json").write_text(json.dumps(kept | {"temperature": 1.0}))
    again = predicted(f"run={run}", f"input='{given}'", "calibrate=true").filter(like="p_").to_numpy()
    assert np.array_equal(again, plain)
    (run / "calibration.json").unlink()


def test_a_value_of_the_data_that_nobody_would_read_is_refused(runs, compose_config):
    values = [f"run={runs['digits'].run_dir}", f"input={runs['digits'].run_dir}", "++data.batch_sice=2"]
    with pytest.raises(ConfigError, match=r"data\.batch_sice is read with calibrate=true only"):
        check_config(compose_config(*values, config_name="predict"))
    with pytest.raises(ConfigError, match=r"data\.batch_sice is not an argument .* did you mean batch_size\?"):
        predict(compose_config(*values, "calibrate=true", config_name="predict"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_target": "my_project.engine.survival.durable_file.copy_file"}, "is no LightningModule"),
        ({"model_target": "os.system"}, "not in TRUSTED"),
        ({"loss": {"_target_": "my_project.engine.survival.durable_file.copy_file"}}, "loss: .* is no Module"),
        ({"inputs": {"_target_": "my_project.data.images.digits.Digits"}}, "is no Inputs"),
    ],
)
def test_a_checkpoint_from_elsewhere_builds_nothing_but_models_and_inputs(runs, tmp_path, change, message):
    checkpoint = torch.load(f"{runs['digits'].run_dir}/checkpoints/best.ckpt", weights_only=True)
    checkpoint.update({key: value for key, value in change.items() if key == "model_target"})
    checkpoint["hyper_parameters"].update({key: value for key, value in change.items() if key == "loss"})
    checkpoint["Digits"].update({key: value for key, value in change.items() if key == "inputs"})
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    with pytest.raises(ConfigError, match=message):
        Trained(tmp_path / "odd.ckpt").inputs()


def test_a_checkpoint_that_does_not_name_its_model_asks_for_its_run(runs, tmp_path, predicted):
    checkpoint = torch.load(f"{runs['digits'].run_dir}/checkpoints/best.ckpt", weights_only=True)
    del checkpoint["model_target"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    with pytest.raises(ConfigError, match=r"old\.ckpt does not name .* run="):
        predicted(f"checkpoint='{tmp_path}/old.ckpt'", "input=.")
    assert Trained(tmp_path / "old.ckpt", "my_project.models.cnn.CNN").model


@pytest.mark.parametrize(
    "choices",
    [["model=cnn"], ["model=mlp"], ["model=resnet", "model.width=8"], PENGUINS, ["experiment=penguin_mass"]],
    ids=" ".join,
)
def test_lightnings_own_predict_works_with_every_model_and_data(compose_config, choices):
    cfg = compose_config(*choices)
    data = build(cfg.data)
    model = build_model(cfg, data)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    outputs = torch.cat(trainer.predict(model, datamodule=data))
    assert len(outputs) == len(data.splits["test"])
    assert torch.isfinite(outputs).all()
