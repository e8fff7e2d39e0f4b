"""Arms side by side: TPOT, throughput, the Pareto frontier and speed-ups, from bench rows."""
