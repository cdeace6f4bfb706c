"""Remove what the answer to `data` leaves out: from a project for images what is for tables, and the other way round."""

import shutil
from pathlib import Path

package = <<cookiecutter.package | tojson>>
data = <<cookiecutter.data | tojson>>

FOR_IMAGES = [
    f"{package}/data/images",
    f"{package}/models/cnn.py",
    f"{package}/models/mlp.py",
    f"{package}/models/pretrained.py",
    f"{package}/models/resnet.py",
    "configs/data/cifar10.yaml",
    "configs/data/cifar100.yaml",
    "configs/data/digits.yaml",
    "configs/data/fashion_mnist.yaml",
    "configs/data/image_folder.yaml",
    "configs/data/mnist.yaml",
    "configs/model/cnn.yaml",
    "configs/model/mlp.yaml",
    "configs/model/pretrained.yaml",
    "configs/model/resnet.yaml",
    "configs/experiment/mlp_sgd.yaml",
    "tests/tiny_image_folder.py",
    "tests/tiny_image_models.py",
    "tests/tiny_official_images.py",
]
FOR_TABLES = [
    f"{package}/data/tables",
    f"{package}/models/tabular_mlp.py",
    "configs/data/penguins.yaml",
    "configs/data/table.yaml",
    "configs/model/tabular_mlp.yaml",
    "configs/model/tabular_regressor.yaml",
    "configs/experiment/penguin_mass.yaml",
    "tests/tiny_table.py",
]

for name in {"images": FOR_TABLES, "table": FOR_IMAGES, "both": []}[data]:
    path = Path(name)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
