from torch.nn.functional import gelu


def gelu_and_mul(gate_up, out):
    gate, up = gate_up.chunk(2, dim=-1)
    out.copy_(gelu(gate) * up)
