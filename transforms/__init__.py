"""What happens to the data: a module a stage, in the data's order. Pure Arrow and NumPy functions."""
