"""A benchmark harness for deep metric learning: frozen protocols, plugins, recomputable tables."""

__version__ = "0.1.0"
