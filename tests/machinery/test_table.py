"""Tables: what is read from their files, how it is encoded and split, and which of them are refused."""

import bz2
import gzip
import io
import lzma
import re
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
import torch

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

from lightning import Trainer
from my_project.data.tables.table import Table
from my_project.data.tables.written_numbers import parse
from my_project.engine.build import build, build_model
from my_project.engine.checks.data import check_splits
from my_project.engine.errors import ConfigError
from my_project.engine.targets import check_blocks

from .rows import CITIES, rows, write


@pytest.fixture
def table(tmp_path):
    """Return a function that writes rows, or the text of a file, and builds the data set of it."""

    def made(content, target="class", name="table.csv", **settings):
        return Table(save(tmp_path / name, content), target, batch_size=16, **settings)

    return made


def save(path, content):
    if isinstance(content, pd.DataFrame):
        content.to_parquet(path) if path.suffix == ".parquet" else content.to_csv(path, index=False)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def numbers_of(data):
    return {split: dataset.tensors[0] for split, dataset in data.splits.items()}


def codes_of(data):
    return {split: dataset.tensors[1] for split, dataset in data.splits.items()}


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_numbers_are_standardized_by_the_training_rows_and_categories_follow_as_codes(table, name):
    data = table(rows(), name=name)
    inputs = numbers_of(data)
    assert {split: len(part) for split, part in inputs.items()} == {"train": 210, "val": 30, "test": 60}
    assert data.num_features == 4  # size, age, age is missing, married
    assert not hasattr(data, "input_shape")
    assert data.categories == (1 + len(CITIES),)
    assert data.class_names == ("bad", "good")
    train = inputs["train"]
    assert torch.allclose(train[:, [0, 3]].mean(dim=0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(train[:, [0, 3]].std(dim=0, correction=0), torch.ones(2), atol=1e-4)
    assert inputs["test"][:, 0].mean().abs() > 1e-3
    missing = train[:, 2] == 1
    assert missing.any()
    assert (train[missing, 1] == 0).all()
    assert torch.allclose(train[~missing, 1].std(correction=0), torch.ones(()), atol=1e-4)
    assert train.dtype == torch.float32
    codes = codes_of(data)["train"]
    assert codes.dtype == torch.int64
    assert codes.unique().tolist() == [1, 2, 3, 4, 5, 6]


def test_a_text_that_training_has_not_seen_is_said_and_has_the_code_of_a_missing_one(table, tmp_path, capsys):
    new = rows().assign(city=["Bern", "Atlantis", None] * 100)
    data = table(rows(), test_path=save(tmp_path / "test.csv", new))
    assert codes_of(data)["test"][:3, -1].tolist() == [1, 0, 0]
    assert (
        "test rows of data.test_path, column 'city': 100 with a text not seen in training, code 0: Atlantis (100)"
        in (capsys.readouterr().out)
    )


@pytest.mark.parametrize(
    ("texts", "others", "codes"),
    [
        ([1, 2, 3], [1.0, None, 3.0], [1, 0, 3]),
        (["01", "02", "A1"], ["01", "02", "02"], [1, 2, 2]),
        ([3, 20, 100], ["3", "20", " 100"], [1, 2, 3]),
    ],
)
def test_a_category_is_the_same_however_another_file_writes_it(table, tmp_path, texts, others, codes):
    new = save(tmp_path / "test.csv", rows().assign(city=others * 100))
    data = table(rows().assign(city=texts * 100), categorical=["city"], test_path=new)
    assert codes_of(data)["test"][:3, -1].tolist() == codes


def test_equal_rows_go_to_the_same_split(table):
    copied = pd.concat([rows(), rows().head(100)])
    copied.iloc[5, 4] = {"good": "bad", "bad": "good"}[copied.iloc[5, 4]]  # with another class too
    data = table(copied)
    parts = [
        {row.numpy().tobytes() for row in torch.cat([n, c], dim=1)} for n, c, _ in (d[:] for d in data.splits.values())
    ]
    assert len(set.union(*parts)) == sum(map(len, parts)) == len(rows())


def test_rows_that_are_bound_to_be_equal_are_drawn_one_by_one(table):
    data = table(rows()[["city", "married", "class"]])  # 12 different ones
    loaders = {"train": data.train_dataloader(), "val": data.val_dataloader(), "test": data.test_dataloader()}
    assert [len(part) for part in numbers_of(data).values()] == [210, 60, 30]
    assert not list(check_splits(loaders))


def test_columns_without_a_difference_are_left_out_and_those_that_count_rows_are_named(table, capsys):
    data = table(rows().assign(one=1, same="x", nothing=None, id=range(300)))
    assert (data.num_features, data.categories) == (5, (7,))
    out = capsys.readouterr().out
    assert "left out, the same in all training rows: one, same, nothing" in out
    assert "column 'id' numbers the rows" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "table.csv is empty"),
        ("a,b,class\n", "has no rows"),
        ("a;b;class\n1;2;x\n", r"one column with data.separator=','.*Try 'data.separator=\";\"'"),
        ("a,b,class\n1,2,x\n1,2\n", "line 3: 2 values, but the first line names 3 columns"),
        ("a,b,class\n1,2,x,y\n1,2,x,y\n", "line 2: 4 values"),
        ('a,b,class\n1, "2,x"\n3, "4,y"\n', "line 2: 2 values"),
        ('a,b,class\n1,"2,x\n1,2,x\n', "each value with a separator, quote or line break in quotes"),
        ("a,a,class\n1,2,x\n", "two columns of the same name: a"),
        ("a,b,class\n1,é,x\n".encode("cp1252"), "is not UTF-8 .byte 0xe9.*CP1252"),
        ("a,b,class\n1,é,x\n".encode("utf-16"), "may be UTF-16"),
        ("1,2,x\n1,2,x\n", "there is no column 'class'\nThe first line of the file names these: 1, 2, x"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(table, content, message):
    with pytest.raises(ConfigError, match=message):
        table(content)


def test_a_large_file_is_said_before_it_is_read(table, monkeypatch, capsys):
    table(rows())
    assert "reading" not in capsys.readouterr().out
    monkeypatch.setattr("my_project.data.tables.table_file.LARGE", 1000)
    table(rows())
    assert re.search(r"reading data\.path=.*table\.csv, 0\.0 GB", capsys.readouterr().out)


def test_half_a_parquet_file_is_refused(table, tmp_path):
    whole = save(tmp_path / "whole.parquet", rows())
    with pytest.raises(ConfigError, match=r"table.parquet cannot be read: .*\. Is it whole"), open(whole, "rb") as file:
        table(file.read(5000), name="table.parquet")


def test_a_byte_order_mark_quotes_and_spaces_are_no_part_of_the_values(table):
    lines = [f'{n % 7}, "a, ""b""\n{n % 3}", {"yes" if n % 2 else "no"}' for n in range(60)]
    data = table("\ufeff" + "\r\n".join(['"x, cm", y, class', *lines]))
    assert list(data.columns.numeric) == ["x, cm"]
    assert data.columns.categorical == {"y": [f'a, "b"\n{n}' for n in range(3)]}
    assert data.class_names == ("no", "yes")


COLUMNS = {
    "dates": (pd.date_range("2026-01-01", periods=300), "holds dates"),
    "names": ([f"name {n}" for n in range(300)], "has 300 different texts in 300 rows"),
    "commas": (
        [f"{n},5" for n in range(300)],
        r"'0,5' is read as 0.5 with data.formatted_numbers=true 'data.decimal=\",\"'",
    ),
    "dirty": (["?", *range(299)], r"numbers and 1 other texts: '\?'"),
    "infinite": ([float("inf")] * 20 + [0] * 280, r"is infinite in 20 rows \(row 1, 2, 3, 4, 5, from 1\)"),
}


@pytest.mark.parametrize(("values", "message"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_that_teaches_nothing_as_it_is_is_refused_and_can_be_dropped(table, values, message):
    frame = rows().assign(**{"a column": values})
    with pytest.raises(ConfigError, match=f"data.path, column 'a column' .*{message}"):
        table(frame)
    assert table(frame, drop=["a column"]).num_features == 4


def test_dates_and_lists_of_a_parquet_file_are_refused(table):
    for values, kind in ((pd.date_range("2026-01-01", periods=300), "datetime64"), ([[1]] * 300, "mixed")):
        with pytest.raises(ConfigError, match=rf"column 'new' holds neither numbers nor texts \({kind}\)"):
            table(rows().assign(new=values), name="table.parquet")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [None, None, *"ab" * 149],
            r"is missing in 2 rows \(row 1, 2, from 1\): data.skip_missing=true leaves them out",
        ),
        (["a"] * 300, "must have two classes or more, got a"),
        (
            [n / 7 for n in range(300)],
            "300 different numbers, such as .* data.task=regression and model=tabular_regressor",
        ),
        (
            range(100_000, 400_000, 1000),
            "300 different numbers, such as 100000, .*: to predict a number set data.task=regression",
        ),
        ([*range(25)] * 11 + [7] * 24 + [25], "26 different numbers, such as 0, 1, 2: to predict a number"),
        ([f"${n},000.5" for n in range(1, 301)], "300 different numbers"),
        (["rare", "rare", *"ab" * 149], r"too few different rows for 3 splits: rare \(2\)"),
    ],
)
def test_a_target_that_holds_no_classes_is_refused(table, values, message):
    with pytest.raises(ConfigError, match=message):
        table(rows().assign(**{"class": values}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "clas"}, "data.target: there is no column 'clas'; did you mean class"),
        ({"drop": ["sise"]}, "data.drop: there is no column 'sise'; did you mean size"),
        ({"drop": ["class"]}, "data.drop must not hold 'class'"),
        ({"drop": ["age"], "categorical": ["age"]}, "data.categorical must not hold 'age'"),
        ({"val_fraction": 0.9}, "data.test_fraction=0.2 and data.val_fraction=0.9 must be above 0 and leave some rows"),
        ({"separator": ";;"}, "data.separator must be one character, got ';;'"),
        ({"test_path": "nothing.csv"}, "data.test_path must be a CSV or Parquet file, nothing.csv is none"),
    ],
)
def test_a_wrong_setting_is_named_by_its_key(table, settings, message):
    with pytest.raises(ConfigError, match=message):
        table(rows(), **settings)


def test_a_path_and_a_target_are_needed():
    with pytest.raises(ConfigError, match=r"data=table needs data.path=table.csv .* and data.target="):
        Table()


def test_a_test_file_must_fit_the_training_rows(table, tmp_path):
    changes = {
        "has classes that training does not know: ugly": {"class": "ugly"},
        "column 'size' holds 300 values that are no numbers: 'large'": {"size": "large"},
    }
    for message, change in changes.items():
        with pytest.raises(ConfigError, match=f"test rows of data.test_path.* {message}"):
            table(rows(), test_path=save(tmp_path / "test.csv", rows().assign(**change)))
    with pytest.raises(ConfigError, match="column 'size' is missing; did you mean sizes"):
        table(rows(), test_path=save(tmp_path / "test.csv", rows().rename(columns={"size": "sizes"})))


def test_a_checkpoint_predicts_rows_as_it_was_trained_whatever_the_file_holds_by_then(compose_config, tmp_path):
    new = save(tmp_path / "new.csv", rows(10, seed=1).drop(columns="class").assign(comment="extra"))
    cfg = compose_config("model=tabular_mlp", *write("table", tmp_path), f"data.predict_path={new}")
    data = build(cfg.data)
    trained = build_model(cfg, data)
    options = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
    }
    trainer = Trainer(max_steps=2, limit_val_batches=0, accelerator="cpu", **options)
    trainer.fit(trained, datamodule=data)
    trainer.save_checkpoint(tmp_path / "trained.ckpt")
    first: Any = Trainer(**options).predict(trained, datamodule=data)
    expected = torch.cat(first)
    assert expected.shape == (10, 2)

    changed = rows().assign(size=rows()["size"] * 3 + 5, city=rows()["city"].replace("Bern", "Rome"))
    save(tmp_path / "table.csv", changed)
    later = build(cfg.data)
    assert later.categories != data.categories
    again: Any = Trainer(**options).predict(trained, datamodule=later, ckpt_path=tmp_path / "trained.ckpt")
    assert torch.equal(torch.cat(again), expected)
    assert (later.columns, later.categories) == (data.columns, data.categories)
    assert numbers_of(later)["train"][:, 0].mean() > 1


def test_without_a_file_to_predict_the_data_can_be_printed_and_the_test_split_is_predicted(table):
    data = table(rows())
    assert "Train dataloader: size=210" in str(data)
    assert sum(len(batch[0]) for batch in data.predict_dataloader()) == len(data.splits["test"])


def test_the_embeddings_of_a_model_learn_what_only_the_categories_tell(compose_config, tmp_path):
    cfg = compose_config("model=tabular_mlp", *write("table", tmp_path), "data.drop=[size,age,married]")
    torch.manual_seed(0)
    data = build(cfg.data)
    model: Any = build_model(cfg, data)
    *inputs, labels = data.splits["train"].tensors
    assert (data.num_features, data.categories) == (0, (1 + len(CITIES),))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(50):
        optimizer.zero_grad()
        model.loss(model(*inputs), labels).backward()
        optimizer.step()
    *inputs, labels = data.splits["test"].tensors
    assert (model.eval()(*inputs).argmax(dim=1) == labels).float().mean() > 0.75  # the rest is up to the size
    assert (model.layers.embeddings[0].weight[0] == 0).all()


def test_the_numbers_of_a_regression_stay_in_their_unit_and_are_drawn_without_classes(table):
    data = table(rows(), target="size", task="regression")
    counts = {split: len(dataset) for split, dataset in data.splits.items()}
    assert counts == pytest.approx({"train": 210, "val": 30, "test": 60}, abs=5)  # equal rows stay together
    targets = data.splits["train"].tensors[2]
    assert targets.dtype == torch.float32
    assert targets.shape == (counts["train"],)
    assert 45 < targets.mean() < 55
    assert (data.target_mean, data.target_std) == pytest.approx(
        (targets.mean().item(), targets.std(correction=0).item())
    )
    assert not hasattr(data, "num_classes")
    assert not hasattr(data, "class_names")
    assert data.categories == (1 + len(CITIES), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"size": "large"},
            "data.task=regression, data.path, column 'size' holds 300 values that are no numbers: 'large'",
        ),
        (
            {"size": [None, *range(299)]},
            r"data.path: data.target=size is missing in 1 rows \(row 1, from 1\)",
        ),
        ({"size": 7.5}, "data.target=size is the same in all training rows"),
    ],
)
def test_a_target_that_is_no_number_is_refused_in_regression(table, changes, message):
    with pytest.raises(ConfigError, match=message):
        table(rows().assign(**changes), target="size", task="regression")


def test_an_unknown_task_is_refused(compose_config, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.task must be "):
        check_blocks(compose_config("model=tabular_mlp", *write("table", tmp_path), "data.task=regresion"))


def test_a_regressor_starts_at_the_mean_and_learns_the_mass_of_the_penguins(compose_config):
    cfg = compose_config("experiment=penguin_mass")
    assert set(cfg.metrics) == {"mse", "mae", "r2"}
    torch.manual_seed(0)
    data = build(cfg.data)
    model: Any = build_model(cfg, data)
    *inputs, targets = data.splits["train"].tensors
    first = model.eval()(*inputs)
    assert first.shape == targets.shape
    assert (first.mean() - data.target_mean).abs() < data.target_std
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(model(*inputs), targets).backward()
        optimizer.step()
    *inputs, targets = data.splits["test"].tensors
    assert 1 - ((model.eval()(*inputs) - targets) ** 2).mean() / targets.var() > 0.7


def test_a_model_that_needs_what_the_table_does_not_have_is_refused(compose_config, tmp_path):
    table = write("table", tmp_path)
    for model, missing in (("cnn", "input_shape"), ("tabular_regressor", "target_mean, target_std")):
        cfg = compose_config(f"model={model}", *table)
        with pytest.raises(ConfigError, match=f"needs {missing}"):
            build_model(cfg, build(cfg.data))
    cfg = compose_config("model=tabular_mlp", *table, "data.target=size", "data.task=regression")
    with pytest.raises(ConfigError, match="needs num_classes"):
        build_model(cfg, build(cfg.data))


def test_the_penguins_are_read_from_wherever_the_run_is_started(compose_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = build(compose_config("data=penguins").data)
    assert data.class_names == ("Adelie", "Chinstrap", "Gentoo")
    assert sum(map(len, data.splits.values())) == 344
    assert data.num_features == 4  # measured of all training penguins
    assert data.categories == (4, 3)


@pytest.mark.parametrize("bad", [1e30, -999, 99999, 1e300, -1e308])
def test_a_cell_that_cannot_be_meant_is_named_in_every_split_and_leaves_its_column_as_it_is(
    table, tmp_path, capsys, bad
):
    frame, new = rows(), rows(50, seed=1).drop(columns="class")
    frame.loc[range(10, 18), "size"], new.loc[7, "size"] = bad, bad
    tries = (table(frame, predict_path=save(tmp_path / "new.csv", new), split_seed=seed) for seed in range(50))
    data = next(data for data in tries if all({*part} & {*range(10, 18)} for part in data.rows.values()))
    (predicted, _), *_ = data.predict_dataloader()
    out = capsys.readouterr().out
    for split, part in data.rows.items():
        found = [row + 1 for row in part if 10 <= row < 18]
        cells = ", ".join(f"{bad:.10g} in row {row}" for row in found[:5])
        assert f"{split} rows of data.path, column 'size': {cells}" in out
        assert f"{len(found)} taken as missing" in out
    assert data.columns.numeric["size"][:2] == pytest.approx((50, 20), abs=3)
    assert f"data.predict_path, column 'size': {bad:.10g} in row 8 cannot be meant" in out
    assert predicted.isfinite().all()
    assert predicted[7, 0] == 0


def test_numbers_that_can_be_meant_are_kept_whatever_they_are(table, capsys):
    random = np.random.default_rng(0)
    wide = {"income": random.lognormal(10, 2, 300), "codes": random.integers(0, 5000, 300), "flag": [0] * 299 + [1]}
    wide |= {
        "nines": [999, *range(700, 999)],
        "days": [-99, *range(-150, 149)],
        "gains": [0] * 280 + [10**n for n in range(4)] * 5,
    }
    data = table(rows().assign(**wide))
    assert "cannot be meant" not in capsys.readouterr().out
    assert not data.columns.numeric["income"][2]


def test_numbers_that_cannot_be_meant_are_kept_when_asked_unless_they_would_be_infinite(table, capsys):
    frame = rows()
    frame.loc[[3, 4], "size"] = [-999, 1e300]
    assert table(frame, outliers="keep").splits["train"].tensors[0].isfinite().all()
    out = capsys.readouterr().out
    assert "1e+300 in row 5" in out
    assert "-999" not in out


def test_a_target_that_cannot_be_meant_is_named_and_left_out_when_asked(table, tmp_path, capsys):
    frame = rows()
    frame.loc[4, "size"] = 1e30
    with pytest.raises(
        ConfigError, match=r"size is missing in 1 rows \(row 5, from 1\): data.skip_missing=true leaves them"
    ):
        table(frame, target="size", task="regression")
    assert "column 'size': 1e+30 in row 5 cannot be meant" in capsys.readouterr().out
    data = table(
        frame, target="size", task="regression", skip_missing=True, test_path=save(tmp_path / "test.csv", frame)
    )
    assert 15 < data.target_std < 25
    assert len(data.splits["test"]) == 299


def test_an_index_without_a_name_is_left_out_and_one_with_a_name_is_said(table, tmp_path, capsys):
    filtered = rows().sample(frac=0.8, random_state=0)
    for frame in (filtered, filtered.sort_index()):
        frame.to_csv(tmp_path / "index.csv")
        frame.to_parquet(tmp_path / "index.parquet")
        for name, column in (("index.csv", "Unnamed: 0"), ("index.parquet", "__index_level_0__")):
            data = Table(str(tmp_path / name), "class", batch_size=16)
            assert data.num_features == 4
            assert (
                f"column '{column}' has no name and numbers the rows: left out, as an index" in capsys.readouterr().out
            )
    filtered.sort_index().rename_axis("patient").to_parquet(tmp_path / "named.parquet")
    assert "patient" in Table(str(tmp_path / "named.parquet"), "class", batch_size=16).columns.numeric
    assert "column 'patient' numbers the rows" in capsys.readouterr().out
    filtered.set_index("city").to_parquet(tmp_path / "named.parquet")
    assert "city" in Table(str(tmp_path / "named.parquet"), "class", batch_size=16).columns.categorical


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
@pytest.mark.parametrize("none", ["None", "NA", "null", "N/A"])
def test_a_class_that_is_called_none_is_a_class_and_an_empty_cell_is_missing(table, capsys, name, none):
    frame = rows().assign(**{"class": [none, "Insomnia", "Apnea"] * 100})
    assert none in table(frame, name=name).class_names
    assert f"{none!r} is a class as any other" in capsys.readouterr().out
    frame.loc[0, "class"] = None
    assert sum(map(len, table(frame, name=name, skip_missing=True).splits.values())) == 299


def test_classes_that_differ_only_in_case_or_space_are_said(table, capsys):
    table(rows().assign(city=["Bern", "bern", "Oslo"] * 100, **{"class": ["yes", "Yes", "no", "yes "] * 75}))
    out = capsys.readouterr().out
    assert "data.target=class: 'yes' and 'Yes' and 'yes ' differ only in case or space" in out
    assert "data.path, column 'city': 'Bern' and 'bern' differ" in out or "'bern' and 'Bern' differ" in out


@pytest.mark.parametrize(
    ("texts", "settings", "number"),
    [
        ("${:,.2f}", {}, 1000.5),
        ("{:,.1f}", {}, 1000.5),
        ("CHF {:.1f}", {}, 1000.5),
        ("{:.1f} %", {}, 10.005),
        ("{:.1f} €", {"decimal": ","}, 1000.5),
    ],
)
@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_numbers_as_people_write_them_are_read_with_one_option_that_the_message_names(
    table, texts, settings, number, name
):
    values = [1000.5 + n for n in range(300)]
    written = [texts.format(value) for value in values]
    if settings:
        written = [text.replace(".", ",") for text in written]
    frame = rows().assign(price=written, size=rows()["size"].round(0).astype(int))
    with pytest.raises(
        ConfigError, match=f"column 'price' holds numbers .*is read as {number:.10g} with data.formatted_numbers"
    ):
        table(frame, name=name)
    data = table(frame, name=name, formatted_numbers=True, **settings)
    assert data.columns.numeric["price"][0] == pytest.approx(1150 * number / 1000.5, rel=0.02)
    with pytest.raises(
        ConfigError, match=r"column 'price' holds 300 values that are no numbers: .*formatted_numbers=true"
    ):
        table(frame, name=name, target="price", task="regression")


@pytest.mark.parametrize(
    "text", ["LOC1", "A-5", "1)", "(1", "5th", "192.168.1.1", "1,2,3", "030 123 456", "%", "$", "10 km", ""]
)
def test_other_texts_are_no_numbers(text):
    assert parse(text, ".") is None


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"code": [17, 42] * 150}, True),
        ({"code": ["x", "y", "z", "y"] * 75}, True),
        ({"code": [None, 5.0] * 150}, True),
        ({"code": [0.5 * n + 300 * (n % 2) for n in range(300)]}, True),
        ({"code": [0.5 * n + 100 * (n % 2) for n in range(300)]}, False),
        ({"code": [0, 1] * 149 + [0, 0]}, False),
        ({"code": np.random.default_rng(0).normal(size=300)}, False),
    ],
)
def test_a_column_that_tells_the_class_by_itself_is_said(table, capsys, column, said):
    table(rows().assign(**column, **{"class": ["open", "closed"] * 150}))
    assert ("column 'code' alone tells data.target=class in all 300 rows" in capsys.readouterr().out) is said


def test_a_column_that_tells_a_number_by_itself_is_said(table, capsys):
    frame = rows()
    table(
        frame.assign(pounds=frame["size"] * 2.2, near=frame["size"] + 0.1 * frame["age"]),
        target="size",
        task="regression",
    )
    out = capsys.readouterr().out
    assert "column 'pounds' alone tells data.target=size" in out
    assert "'near' alone" not in out


def test_whole_numbers_are_classes_when_they_are_named_so(table, capsys):
    codes = [1000 + 17 * (n % 30) for n in range(300)]
    assert table(rows().assign(**{"class": codes}), categorical=["class"]).num_classes == 30
    assert "regression" not in capsys.readouterr().out
    assert table(rows().assign(**{"class": [n % 30 for n in range(300)]})).num_classes == 30
    assert "30 different numbers, such as 0, 1, 2: to predict a number set" in capsys.readouterr().out


def zipped(content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("table.csv", content)
        file.writestr("__MACOSX/._table.csv", b"x")
    return archive.getvalue()


def zstandard(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped, zstandard])
def test_a_compressed_file_is_read_by_what_it_holds(table, pack):
    whole = rows().to_csv(index=False).encode()
    expected = numbers_of(table(whole))["train"]
    for name in ("table.csv", "table.data"):
        assert torch.equal(numbers_of(table(pack(whole), name=name))["train"], expected)
    with pytest.raises(ConfigError, match="cannot be read"):
        table(pack(whole)[:-40])
    assert torch.equal(numbers_of(table(pack(rows().to_parquet())))["train"], expected)


def test_a_file_of_another_kind_is_named_by_its_content(table):
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w") as file:
        file.writestr("[Content_Types].xml", "")
        file.writestr("xl/workbook.xml", "")
    others = {
        workbook.getvalue(): "as an Excel workbook",
        b"\xd0\xcf\x11\xe0\xa1": "is an Excel",
        b" <html>,<a>": "is HTML or XML",
    }
    for content, message in others.items():
        with pytest.raises(ConfigError, match=message):
            table(content)
    assert table(rows().to_parquet(), name="table.csv").num_features == 4
    assert table(rows().to_csv(index=False), name="table.parquet").num_features == 4


def test_damaged_metadata_is_one_message_or_none(table, tmp_path):
    for metadata, path in (({"pandas": '{"index_columns": ['}, "a.parquet"), ({"ARROW:schema": "AAAA"}, "b.parquet")):
        pa.parquet.write_table(pa.Table.from_pandas(rows()).replace_schema_metadata(metadata), tmp_path / path)
    assert Table(str(tmp_path / "a.parquet"), "class", batch_size=16).num_features == 4
    with pytest.raises(ConfigError, match=r"b\.parquet cannot be read: .* Is it whole"):
        Table(str(tmp_path / "b.parquet"), "class")
    content = bytearray(rows().to_parquet())
    content[-60:-20] = b"\xff" * 40
    with pytest.raises(ConfigError, match=r"table.parquet cannot be read: .* Is it whole"):
        table(bytes(content), name="table.parquet")


def test_a_field_of_any_length_is_read(table):
    frame = rows().assign(note=["x" * 300_000, *"ab" * 149, "c"])
    assert table(frame).categories == (7, 4)


def test_a_column_may_be_called_by_a_number(table):
    assert table(rows().assign(**{"2026": range(300)}), drop=[2026]).num_features == 4


def test_a_missing_package_is_one_message(compose_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "my_project.data.tables.table")
    with pytest.raises(ConfigError, match="tables need pyarrow: uv sync --all-extras, or pip install pandas pyarrow"):
        build(compose_config("data=table").data)
