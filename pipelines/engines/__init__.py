"""Engines, where pipelines run: presets over Beam's own options, checks before a run, and runs that are watched."""
