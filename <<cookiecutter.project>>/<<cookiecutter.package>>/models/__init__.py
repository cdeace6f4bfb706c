"""Yours: one file per model, each a LightningModule."""
