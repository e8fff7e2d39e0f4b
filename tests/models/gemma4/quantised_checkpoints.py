"""Small quantised checkpoints of every family, written with compressed-tensors and safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    apply_quantization_config,
)
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import load_file, save_file

from moe_kernels.formats import Fp8, Int4, parse_format
from tests.models.gemma4.twins import draw_models, hf_config
from tests.moe_kernels.formats.theirs import (
    FP8_COMPRESSOR,
    INT4_COMPRESSOR,
    NVFP4_COMPRESSOR,
    blocked,
    compress_fp8,
    compress_int4,
    compress_nvfp4,
    decompress,
    fp8_args,
    grouped,
    int4_args,
    nvfp4_args,
)

# Nine experts, since compressed-tensors cannot unpack zero points of less than two words.
HIDDEN, INNER, EXPERTS = 64, 48, 9
MODULE = "model.layers.0.experts"
PER_TOKEN = QuantizationArgs(num_bits=8, type="float", strategy="token", dynamic=True)


def draw_theirs(**changes):
    """A model of transformers in bf16 with one layer of experts."""
    sizes = {
        "hidden_size": HIDDEN,
        "moe_intermediate_size": INNER,
        "num_experts": EXPERTS,
        "intermediate_size": 32,
    }
    hf = hf_config(layer_types=["full_attention"], **{**sizes, **changes})
    return draw_models(hf, 3, torch.bfloat16)[1]


def compress_matrix(matrix, name):
    """The tensors of a matrix as compressed-tensors names them, and the matrix that it makes of them."""
    weight_format = parse_format(name)
    if isinstance(weight_format, Int4):
        made, stored = compress_int4(matrix, weight_format), INT4_COMPRESSOR
    elif isinstance(weight_format, Fp8):
        made, stored = compress_fp8(matrix, weight_format), FP8_COMPRESSOR
    else:
        made, stored = compress_nvfp4(matrix), NVFP4_COMPRESSOR
    back = decompress(stored, made[0], made[1])
    return {part: tensor.clone().contiguous() for part, tensor in made[0].items()}, back.to(matrix.dtype)


def split(state, module, name):
    """Each expert's projections as weights of their own, dotted."""
    tensors, dense = {}, {}
    gate_up, down = (state[f"{module}.{projection}"] for projection in ("gate_up_proj", "down_proj"))
    inner = down.shape[2]
    for expert in range(len(down)):
        halves = {
            "gate_proj": gate_up[expert, :inner],
            "up_proj": gate_up[expert, inner:],
            "down_proj": down[expert],
        }
        for projection, matrix in halves.items():
            found, dense[expert, projection] = compress_matrix(matrix.contiguous(), name)
            tensors |= {f"{module}.{expert}.{projection}.{part}": tensor for part, tensor in found.items()}
    joined = [torch.cat([dense[e, "gate_proj"], dense[e, "up_proj"]]) for e in range(len(down))]
    return tensors, torch.stack(joined), torch.stack([dense[e, "down_proj"] for e in range(len(down))])


def stacked(state, module, name):
    """Both projections of all experts in three dimensions, with underscores."""
    tensors, dense = {}, []
    for projection in ("gate_up_proj", "down_proj"):
        made = [compress_matrix(matrix, name) for matrix in state[f"{module}.{projection}"]]
        for part in made[0][0]:
            label = part.removeprefix("weight").removeprefix("_")
            whole = torch.stack([found[part] for found, _ in made])
            tensors[f"{module}.{projection}_{label}" if label else f"{module}.{projection}"] = whole
        dense.append(torch.stack([back for _, back in made]))
    return tensors, *dense


FAMILIES: dict[str, Callable] = {"split": split, "stacked": stacked}


def scheme_of(name, **changes):
    weight_format = parse_format(name)
    if isinstance(weight_format, Int4):
        args = {"weights": int4_args(weight_format), "format": INT4_COMPRESSOR}
    elif isinstance(weight_format, Fp8):
        args = {"weights": fp8_args(weight_format), "input_activations": PER_TOKEN, "format": FP8_COMPRESSOR}
    else:
        args = {"weights": nvfp4_args(), "format": NVFP4_COMPRESSOR}
    return QuantizationScheme(**{"targets": ["Linear"], **args, **changes})


def write_config(folder: Path, theirs, scheme=None, ignore=()):
    theirs.config.save_pretrained(folder)
    if scheme is not None:
        config = QuantizationConfig(
            config_groups={"group_0": scheme},
            ignore=["lm_head", *ignore],
            format=scheme.format,
            quantization_status="compressed",
        )
        ModelCompressor(quantization_config=config).update_config(folder)
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "dtype": "bfloat16"}))


def write_experts(folder: Path, theirs, family: str, name: str, rename=lambda name: name):
    """A checkpoint with quantised experts; gives the same model's state with what they stand for."""
    state = {key: tensor.clone() for key, tensor in theirs.state_dict().items() if key != "lm_head.weight"}
    tensors, gate_up, down = FAMILIES[family](state, MODULE, name)
    dense = {**state, f"{MODULE}.gate_up_proj": gate_up, f"{MODULE}.down_proj": down}
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(MODULE)}
    save_file(
        {rename(key): tensor for key, tensor in {**kept, **tensors}.items()}, folder / "model.safetensors"
    )
    ignore = ["re:.*self_attn.*", r"re:.*\.mlp\..*", "re:.*router.*"]
    write_config(folder, theirs, scheme_of(name), ignore=ignore)
    return dense


class UnfusedExpert(torch.nn.Module):
    """One expert with a linear layer for each projection, as quantisers that know linear layers make them."""

    def __init__(self, gate_up, down):
        super().__init__()
        gate, up = gate_up.chunk(2)
        for name, matrix in (("gate_proj", gate), ("up_proj", up), ("down_proj", down)):
            linear = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=matrix.dtype)
            linear.weight.data = matrix.clone()
            self.register_module(name, linear)


def unfuse(theirs):
    for layer in theirs.model.layers:
        pairs = zip(layer.experts.gate_up_proj.data, layer.experts.down_proj.data, strict=True)
        layer.experts = torch.nn.ModuleList([UnfusedExpert(*pair) for pair in pairs])


def calibrate(module):
    """Gives a linear layer, to which a scheme is attached, the scales of its own range."""
    args, weight, global_scale = module.quantization_scheme.weights, module.weight.data, None
    shared = {"tensor": weight.flatten(), "channel": weight.unsqueeze(1), "block": blocked(weight)}
    part = shared[args.strategy] if args.strategy in shared else grouped(weight, args.group_size)
    if args.strategy == "tensor_group":
        global_scale = module.weight_global_scale.data = generate_gparam(weight.amin(), weight.amax())
    found = calculate_qparams(part.amin(-1), part.amax(-1), args, global_scale=global_scale)
    for name, tensor in zip(("weight_scale", "weight_zero_point"), found, strict=True):
        if getattr(module, name, None) is not None:
            getattr(module, name).data = tensor


def write_compressed(folder: Path, theirs, name: str):
    """The whole model compressed and saved by the packages themselves; gives the state that it decompresses to."""
    unfuse(theirs)
    apply_quantization_config(
        theirs, QuantizationConfig(config_groups={"all": scheme_of(name)}, ignore=["lm_head"])
    )
    for module in theirs.modules():
        if hasattr(module, "quantization_scheme"):
            calibrate(module)
    compressor = ModelCompressor.from_pretrained_model(theirs)
    compressor.compress_model(theirs)
    theirs.save_pretrained(folder)
    compressor.update_config(folder)
    compressor.decompress_model(theirs)
    return theirs.state_dict()


def in_shards(folder, shards=3):
    """The same checkpoint in several files, parts of one weight in different ones."""
    held = load_file(folder / "model.safetensors")
    files = {name: f"model-{index % shards}.safetensors" for index, name in enumerate(sorted(held))}
    for file in set(files.values()):
        save_file({name: held[name].clone() for name in held if files[name] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return files


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_quantisation(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))


def edit_tensors(folder, change):
    held = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(held)
    save_file(held, folder / "model.safetensors")


def assert_holds(model, dense):
    """Its experts are exactly what compressed-tensors makes of the checkpoint."""
    experts = model.get_submodule(MODULE)
    for name in ("gate_up_proj", "down_proj"):
        held = experts.projection(name)
        held.format.check(held)
        assert torch.equal(held.format.dequantise(held, torch.bfloat16), dense[f"{MODULE}.{name}"])
