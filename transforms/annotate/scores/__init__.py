"""Scores of a record: the measures of ``quality``, and reward, difficulty and judge models."""
