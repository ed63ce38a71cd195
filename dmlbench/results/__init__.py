"""Records, comparisons and tables: what runs leave behind, and what may be concluded from it.

Pure Python on purpose. A table must render to the same bytes on every machine, and `leaderboard check` must
start at once; so sums are exact (`math.fsum`), random draws come from `random.Random.random` alone, whose
stream Python promises to keep, and neither NumPy nor torch is loaded.
"""
