"""The gate: two results are read, matched row by row, and judged: is B worse than A, beyond a limit and the noise?

read (a module a kind: winners, bench, traces, profiles) -> match -> judge
"""
