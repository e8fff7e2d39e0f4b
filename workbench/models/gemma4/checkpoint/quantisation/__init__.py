"""What checkpoints say of their quantisation, by the method that made them."""

from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule
from workbench.models.gemma4.checkpoint.quantisation.read import read_quantisation

__all__ = ["Quantisation", "QuantisationRule", "read_quantisation"]
