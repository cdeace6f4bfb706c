"""Small photographs of a hundred classes, five to each of twenty kinds.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009.
"""

from <<cookiecutter.package>>.data.images.cifar10 import CIFAR10


class CIFAR100(CIFAR10):
    """50 000 images for training and 10 000 for testing, (3, 32, 32), uint8, of 100 classes.

    Their memory is channels_last.

    File: cifar-100-python.tar.gz; without it, the files train and test in the folder cifar-100-python.
    """

    source = "CIFAR100"
    # fmt: off
    class_names = (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
        "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
        "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
        "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
        "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
        "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
        "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
        "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
        "willow_tree", "wolf", "woman", "worm",
    )
    # fmt: on
    num_classes = len(class_names)
    label_key = "fine_labels"
