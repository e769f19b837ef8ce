"""The one place that names the version of Gristmill; setup.py reads it without importing."""

__version__ = "0.1.0"
