"""What other systems load and run: the serving engines' tables, and their own kernels as sweep targets."""
