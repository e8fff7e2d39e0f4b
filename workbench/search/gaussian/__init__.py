"""The parts of the `auto` search.

`coordinates` lays configs out for a Gaussian process, `process` fits one and predicts, `problem_data` and `lesson` hold
what is known of a problem and what others teach of it, `candidates` draws the configs that are looked at, `surrogate`
scores them, and `problem_search` proposes.
"""
