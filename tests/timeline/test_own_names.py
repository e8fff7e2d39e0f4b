from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.timeline.own_names import own_name

CK = "_ZN7ck_tile6kentryILi2ENS_38FmhaBatchPrefillWithPagedKVCacheKernelINS_40BlockFmhaBatchPrefillPipelineQRKSVSAsync"


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("fused_moe_kernel", "fused_moe_kernel"),
        (
            "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float>",
            "vectorized_layer_norm_kernel",
        ),
        ("void fbgemm_gpu::permute_2D_data_kernel<int, long>(int)", "permute_2D_data_kernel"),
        (
            "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90>>",
            "FlashAttnFwdSm90",
        ),
        (
            "std::enable_if<(((8) > (0))), void>::type vllm::rms_norm_kernel<c10::BFloat16>(int)",
            "rms_norm_kernel",
        ),
        ("_ZN4vllm3moe17topkGatingSoftmaxILi4ELi128ELi4ELi16EEEvPKfPKbPfiPiS6_iii", "topkGatingSoftmax"),
        ("_ZN7ck_tile6kentryILi1ENS_12Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePass", "Rmsnorm2dFwd"),
        (CK, "FmhaBatchPrefillWithPagedKVCacheKernel"),
        ("Memcpy DtoD (Device -> Device)", "Memcpy"),
        ("", ""),
    ],
)
def test_a_functions_own_name_is_without_namespaces_and_template_arguments(name, own):
    assert own_name(name) == own


@given(st.text(max_size=200))
def test_no_name_is_too_odd(name):
    own_name(name)
    own_name("_ZN" + name)
