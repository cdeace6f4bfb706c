"""The machinery: each guarantee is one file here and one entry in configs/."""
