"""What checkpoints say of their quantisation, by the method that made them."""

from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, Rule
from workbench.models.gemma4.checkpoint.quantisation.read import read_quantisation

__all__ = ["Quantisation", "Rule", "read_quantisation"]
