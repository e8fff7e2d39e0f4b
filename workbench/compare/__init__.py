"""The gate: two results are read, matched row by row, and judged: is B worse than A, beyond a limit and the noise?

sides (of result_kinds: winners, bench, traces, profiles) -> match -> ratios -> judge; gate puts them together
"""
