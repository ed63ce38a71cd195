"""What the fork server imports once for all stages: torch and the stages themselves, no plugin."""

import torch._dynamo  # noqa: F401  (the first optimiser does it, and it takes longer than torch itself)

import dmlbench.run.embedding
import dmlbench.run.scoring
import dmlbench.run.training  # noqa: F401
