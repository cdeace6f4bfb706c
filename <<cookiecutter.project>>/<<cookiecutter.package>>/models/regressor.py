"""What every regressor is: one number per sample."""

from <<cookiecutter.package>>.models.supervised import Supervised


class Regressor(Supervised):
    """A model that maps inputs to numbers (B,), float32, in the unit of the targets (B,), float32."""
