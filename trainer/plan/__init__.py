"""The plan: which rows each step holds. Pure NumPy; a function of lengths, settings and an identity."""
