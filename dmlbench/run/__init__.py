"""From a command to records: the planner, the stages of a run, and the engines that start them."""
