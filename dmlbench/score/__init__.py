"""Scoring: exact ranks of each query's positives, and the metrics that follow from them."""

from dmlbench.score.distance import DISTANCES as DISTANCES
from dmlbench.score.metrics import METRICS as METRICS
from dmlbench.score.metrics import Metric as Metric
from dmlbench.score.metrics import metric as metric
from dmlbench.score.ranks import NO_RANK as NO_RANK
from dmlbench.score.ranks import RankBlock as RankBlock
from dmlbench.score.ranks import rank_blocks as rank_blocks
from dmlbench.score.scores import DEFAULT_METRICS as DEFAULT_METRICS
from dmlbench.score.scores import ClassSums as ClassSums
from dmlbench.score.scores import Scores as Scores
from dmlbench.score.scores import score as score
