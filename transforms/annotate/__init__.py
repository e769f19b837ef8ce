"""Annotations: what is measured of a record besides its size, each group computed only when a recipe asks for it."""
