"""Where prepared data lies."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_home() -> Path:
    """`$DMLBENCH_HOME`, or the user's cache folder."""
    return Path(os.environ.get("DMLBENCH_HOME") or platformdirs.user_cache_dir("dmlbench")) / "data"
