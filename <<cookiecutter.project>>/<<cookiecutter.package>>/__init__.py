"""Data, models, and the engine that trains them."""
