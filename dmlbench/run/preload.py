"""What the fork server imports once for all stages: torch and the stages themselves, no plugin."""

import dmlbench.run.embedding
import dmlbench.run.scoring
import dmlbench.run.training  # noqa: F401
