"""Plots: each module collects what its plot shows as plain data, and draws that data; drawing holds no arithmetic.

Nothing here imports matplotlib before something is drawn, and nothing imports torch.
"""
