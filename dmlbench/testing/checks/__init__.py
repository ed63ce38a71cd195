"""The checks. Importing this package enters them into the catalogue, in the order in which they are run."""

# The order is that of the catalogue: a check comes after those that it builds on.
# isort: off
import dmlbench.testing.checks.building
import dmlbench.testing.checks.training
import dmlbench.testing.checks.state
import dmlbench.testing.checks.conduct
import dmlbench.testing.checks.values
import dmlbench.testing.checks.degenerate
import dmlbench.testing.checks.order
import dmlbench.testing.checks.gradient
import dmlbench.testing.checks.miners
import dmlbench.testing.checks.samplers
import dmlbench.testing.checks.augmenters
import dmlbench.testing.checks.networks
import dmlbench.testing.checks.growth
import dmlbench.testing.checks.datasets  # noqa: F401
