"""Models that hide what is wrong with their data; nothing is wrong with them."""

from my_project.models.small import Small
from torch import Tensor


class FloatLabels(Small):
    def training_step(self, batch, batch_idx):
        return super().training_step((batch[0], batch[1].long()), batch_idx)

    def validation_step(self, batch, batch_idx):
        super().validation_step((batch[0], batch[1].long()), batch_idx)

    def test_step(self, batch, batch_idx):
        super().test_step((batch[0], batch[1].long()), batch_idx)


class ZerosForNan(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.nan_to_num(0.0))


class FloatImages(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.float())
