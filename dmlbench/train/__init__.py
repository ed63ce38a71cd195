"""The training loop, the terms it sums, and the names and services that it offers to components."""
