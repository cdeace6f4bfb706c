"""Yours: one file per dataset, each a LightningDataModule that says its own shape."""
