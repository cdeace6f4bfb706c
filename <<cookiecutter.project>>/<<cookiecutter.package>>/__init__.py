"""Image classification with PyTorch Lightning and Hydra."""
