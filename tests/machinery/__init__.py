"""Tests of what the owner of a project need not test again: its data sets and models, in one project with all of them."""
