from enum import Enum


class MoEActivation(Enum):
    GELU_TANH = "gelu_tanh"
