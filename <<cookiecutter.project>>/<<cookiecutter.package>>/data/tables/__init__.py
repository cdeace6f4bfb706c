"""Data sets of tables: rows of numbers and categories."""
