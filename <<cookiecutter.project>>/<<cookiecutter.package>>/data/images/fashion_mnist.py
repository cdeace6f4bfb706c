"""Articles of clothing, made to take the place of MNIST where that is too easy.

Source: Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
2017.
"""

from <<cookiecutter.package>>.data.images.mnist import MNIST


class FashionMNIST(MNIST):
    """60 000 images for training and 10 000 for testing, (1, 28, 28), uint8, of 10 kinds of clothing.

    Files: as for MNIST, in FashionMNIST/raw.
    """

    source = "FashionMNIST"
    # fmt: off
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )
    # fmt: on
    num_classes = len(class_names)
