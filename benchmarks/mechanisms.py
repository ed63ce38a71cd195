"""What methods claim to do inside, as numbers on prepared tasks; no component is shown more than usual.

ancestors    HIER: two training classes that have one ancestor, the learned proxy nearest to their mean,
             are of one superclass (an alphabet, a group of emoji) how many times as often as any two?
sub-classes  gaussian-subspaces: training classes are joined (--joined 2), and the sub-classes that it finds
             compared with what was joined: the share of images in the majority of their sub-class, beside
             that of sub-classes of the same sizes at random.
variances    IAA: the variances of classes from half of their images, as estimated and as corrected by
             neighbours, against those of the other half: rank correlations.
copies       DAS: do copies have the neighbours that their anchor has?
triplets     two-stage generation: distances in real and made triplets; do the made keep their class?
drift        alternating projections: how far weights move from their snapshot in an outer step, for
             several strengths of the proximal term.
weights      loss ensemble: its weights before and after; its heads alone and together.

Prints JSON and adds it to the results. Data are those of `dmlbench data prepare TASK`.

    python benchmarks/mechanisms.py WHAT [--task omniglot] [--images 40000] [--seed 0] [--set A.B=C]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mechanisms_classes import ancestors, subclasses
from mechanisms_learned import drift, weights
from mechanisms_made import copies, triplets, variances

from dmlbench.files import read_json, write_json

MEASURES = {
    "ancestors": ancestors,
    "sub-classes": subclasses,
    "variances": variances,
    "copies": copies,
    "triplets": triplets,
    "drift": drift,
    "weights": weights,
}
RESULTS = Path(__file__).parent / "results" / "mechanisms-cpu.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--task", default="omniglot")
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="Another setting of the method.")
    parser.add_argument("--joined", type=int, default=2, help="Classes that are made one for `sub-classes`.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = {
        "mechanism": given.what,
        "task": given.task,
        "images": given.images,
        "seed": given.seed,
        **({"settings": given.set} if given.set else {}),
        **({"joined": given.joined} if given.what == "sub-classes" else {}),
    }
    found = {**asked, **MEASURES[given.what](given)}
    print(json.dumps(found, indent=1))
    known = read_json(given.out) if given.out.exists() else []
    kept = [one for one in known if {name: one.get(name) for name in asked} != asked]
    write_json(given.out, [*kept, found])


if __name__ == "__main__":
    main()
