"""Scoring: exact ranks of each query's positives, and the metrics that follow from them."""

from dmlbench.score.binary import fit_itq as fit_itq
from dmlbench.score.distance import DISTANCES as DISTANCES
from dmlbench.score.names import METRICS as METRICS
from dmlbench.score.names import Metric as Metric
from dmlbench.score.names import metric as metric
from dmlbench.score.scores import DEFAULT_METRICS as DEFAULT_METRICS
from dmlbench.score.scores import ClassSums as ClassSums
from dmlbench.score.scores import Scores as Scores
from dmlbench.score.scores import score as score
from dmlbench.score.verification import verify as verify
