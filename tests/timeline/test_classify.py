from __future__ import annotations

import pytest

from tests.timeline import traces
from tests.timeline.traces import (
    ATTENTION,
    EXPERTS,
    GATHER,
    GEMM,
    NORM,
    SOFTMAX,
    SORT,
    TOPK,
    analysed,
    annotation,
    kernel,
    on_cpu,
    write,
)
from workbench.base.errors import InputError
from workbench.base.yaml import read_yaml
from workbench.timeline.classify import by_names, weakly_named
from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.patterns import MAX_NAME, check_pattern
from workbench.timeline.rules import load_rules
from workbench.timeline.rules_file import check_rules

NAMES = {
    "routing": [
        "_gemma4_routing_kernel",
        "void vllm::moe::topkGatingSoftmax<4, 128, 4, 16>(float const*, bool const*, float*, int, int*)",
        "_ZN4vllm3moe17topkGatingSoftmaxILi4ELi128ELi4ELi16EEEvPKfPKbPfiPiS6_iii",
        "void moe::dev::routing::routingRenormalize::routingIndicesClusterKernel<moe::dev::routing::KernelParams>",
        "moe_align_block_size_kernel",
        "void ck_tile::MoeSortingKernel<ck_tile::MoeSortingProblem>",
        "_sum_bitmatrix_rows",
        "void grouped_topk_fused_kernel<float, float, int>",
        "void aiter::grouped_topk_kernel<__hip_bfloat16>",
    ],
    "experts": [
        "expert_matmul_kernel",
        "grouped_matmul_kernel",
        "token_down_kernel",
        "quantised_grouped_kernel",
        "quantised_token_kernel",
        "quantise_groups_kernel",
        "fused_moe_kernel",
        "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x128x256x1_swiglu",
        "void tensorrt_llm::kernels::cutlass_kernels::finalizeMoeRoutingKernel<__nv_bfloat16>",
        "_ZN2ck15kernel_moe_gemmINS_24GridwiseMoeGemmBlockScaleE",
        "void vllm::moe::moe_sum_kernel<c10::BFloat16, 8>",
        "bmm_MxE4m3_MxE2m1MxE4m3_Fp32_t128x16x256u2_swiGlu_dynBatch_sm100f",
        "void cutlass::device_kernel<at::cuda::detail::enable_3x_kernel_for_sm9x<GroupProblemShape<long>>>",
    ],
    "attention": [
        "void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<256, 64, 64, 4, cutlass::bfloat16_t>>",
        "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90>>",
        "fmhaSm100aKernel_QkvE4m3OBfloat16H64PagedKvCausalP16VarSeqQ128Kv128PersistentContext",
        "kernel_unified_attention_3d",
        "void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0>",
        "_ZN5aiter23paged_attention_ll4mi_QKV_mfma16_kernel",
        "_fwd_grouped_kernel_stage1",
        "_ZN7ck_tile6kentryILi2ENS_38FmhaBatchPrefillWithPagedKVCacheKernelINS_37BlockAttentionKVCacheMemoryLayoutEnumE",
    ],
    "rope": [
        "void vllm::rotary_embedding_kernel<c10::BFloat16, true>",
        "triton_poi_fused_add_cos_mul_sin_slice_3",
    ],
    "kv_cache": [
        "void vllm::reshape_and_cache_flash_kernel<__hip_bfloat16>",
        "void flashinfer::AppendPagedKVCacheKernel<128>",
        "create_flashinfer_kv_indices_triton",
    ],
    "gemm": [
        "nvjet_tst_64x64_64x16_2x1_2cta_v_bz_bias_TNT",
        "Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT32x32x256_MI16x16x1",
        "ampere_bf16_s16816gemm_bf16_128x64_ldg8_relu_f2f_stages_64x4_tn",
        "void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8>",
        "triton_tem_fused_addmm_gelu_0",
        "void gemv2T_kernel_val<int, int, __nv_bfloat16>",
        "sm80_xmma_fprop_implicit_gemm_f16f16",
    ],
    "norm": [
        "_ZN7ck_tile6kentryILi1ENS_12Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePass",
        "void flashinfer::norm::RMSNormKernel<8, __nv_bfloat16>",
        "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float, float>",
        "triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0",
    ],
    "activation": [
        "void vllm::act_and_mul_kernel<c10::BFloat16>",
        "void at::native::vectorized_elementwise_kernel<8, at::native::GeluCUDAKernelImpl>",
    ],
    "embedding": ["void at::native::(anonymous namespace)::indexSelectSmallIndex<c10::BFloat16, long>"],
    "elementwise": [
        "void at::native::vectorized_elementwise_kernel<8, at::native::FillFunctor<c10::BFloat16>>",
        "triton_poi_fused_constant_pad_nd_moe_forward_0",
        "triton_poi_fused_add_cos_sin_0",
        "void vllm::scaled_fp8_quant_kernel_strided<c10::BFloat16, c10::Float8_e4m3fn>",
    ],
    "reduction": [
        SOFTMAX,
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::MeanOps>>",
    ],
    "sort": [TOPK, SORT, "void at_cuda_detail::cub::DeviceRadixSortOnesweepKernel<>"],
    "sampling": [
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>>>",
        "void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024>",
    ],
    "copy": [
        "Memcpy DtoD (Device -> Device)",
        "void at::native::(anonymous namespace)::CatArrayBatchedCopy<OpaqueType>",
    ],
    "communication": [
        "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
        "void vllm::cross_device_reduce_1stage<__hip_bfloat16, 8>",
    ],
    "optimizer": ["void at::native::multi_tensor_apply_kernel<at::native::FusedAdamMathFunctor<float>>"],
    "other": [
        "void at::native::(anonymous namespace)::upsample_bilinear2d_out_frame<float, float>",
        "zyxw",
        "",
        "_Z3fooIiEvT_",
    ],
}


@pytest.fixture(scope="module")
def rules():
    return load_rules()


@pytest.mark.parametrize(
    "name, expected", [(name, known) for known, names in NAMES.items() for name in names]
)
def test_a_kernel_has_the_class_that_its_name_says(rules, name, expected):
    assert CLASSES[by_names([name], rules.names)[0]] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # A layout of the KV cache is what this attention is instantiated with.
        (
            "_ZN7ck_tile6kentryILi2ENS_38FmhaBatchPrefillWithPagedKVCacheKernelINS_40BlockFmhaBatchPrefillPipeline",
            "attention",
        ),
        # What stands before the name of a function is where it is from, not what it does.
        ("void fbgemm_gpu::permute_2D_data_kernel<int, long>(int)", "other"),
        ("void fbgemm_gpu::split_embedding_codegen_forward_kernel<float>(int)", "embedding"),
        ("void gemm_library::rms_norm_kernel<float>(float*)", "norm"),
    ],
)
def test_a_functions_own_name_goes_before_what_it_is_in_and_instantiated_with(rules, name, expected):
    assert CLASSES[by_names([name], rules.names)[0]] == expected


def test_a_class_that_the_functions_own_name_does_not_tell_is_weak(rules):
    copy = (
        "void at::native::elementwise_kernel<128, 4, at::native::direct_copy_kernel_cuda(int)::lambda>(int)"
    )
    assert weakly_named([copy, "flash_fwd_kernel", "zyxw"], rules) == {copy}


def test_the_shipped_rules_obey_what_is_asked_of_a_users_file():
    from workbench.timeline.rules import SHIPPED

    source = read_yaml(SHIPPED)
    source.data["names"] = source.data["names"][:1]
    check_rules(source)


@pytest.fixture
def classes_of(tmp_path):
    def classes_of(events, **options):
        found = analysed(write(tmp_path / "trace.json", events), **options)
        return [CLASSES[each] for each in found.classes]

    return classes_of


def in_a_row(*names):
    return [kernel(name, 10 * i, 8) for i, name in enumerate(names)]


def test_a_top_k_before_experts_is_routing_with_all_that_belongs_to_it(classes_of):
    mul = "void at::native::vectorized_elementwise_kernel<4, at::native::BinaryFunctor<float, at::native::MulFunctor>>"
    found = classes_of(in_a_row(NORM, GEMM, SOFTMAX, TOPK, SORT, GATHER, mul, EXPERTS))
    assert found == ["norm", "gemm", *["routing"] * 5, "experts"]


def test_a_top_k_that_no_experts_follow_is_a_sort(classes_of):
    assert classes_of(in_a_row(GEMM, SOFTMAX, TOPK, SORT, ATTENTION, EXPERTS)) == [
        "gemm",
        "reduction",
        "sort",
        "sort",
        "attention",
        "experts",
    ]


def test_a_top_k_far_from_the_experts_is_a_sort(classes_of):
    found = classes_of(in_a_row(TOPK, *[NORM] * 20, EXPERTS))
    assert found == ["sort", *["norm"] * 20, "experts"]


def test_what_the_experts_need_besides_routing_stays_what_it_is(classes_of):
    power = "void at::native::vectorized_elementwise_kernel<4, at::native::pow_tensor_scalar_kernel>"
    found = classes_of(in_a_row(power, TOPK, SORT, GATHER, power, GEMM, power, EXPERTS))
    assert found == ["elementwise", *["routing"] * 3, "elementwise", "gemm", "elementwise", "experts"]


def test_another_stream_does_not_stand_between(classes_of):
    events = [*in_a_row(GEMM, TOPK, SORT, EXPERTS), kernel(NORM, 15, 3, stream=8)]
    assert sorted(classes_of(events)) == ["experts", "gemm", "norm", "routing", "routing"]


def launched(name, op, number=1, ts=0):
    return [
        on_cpu(op, ts, 10, External_id=number),
        traces.launch(number, ts + 2),
        kernel(name, ts + 20, 5, correlation=number, **{"External id": number}),
    ]


def test_the_op_tells_what_a_generic_kernel_is_for(classes_of):
    generic = "void at::native::vectorized_gather_kernel<16, long>(char*, char*, long*, int)"
    assert classes_of(launched(generic, "aten::embedding")) == ["embedding"]
    assert classes_of(launched(generic, "aten::index")) == ["elementwise"]
    assert classes_of(launched("mystery", "aten::mm")) == ["gemm"]


def test_an_op_that_was_not_running_says_nothing(classes_of):
    events = launched("mystery", "aten::embedding")
    events[0]["ts"] = 500
    assert classes_of(events) == ["other"]


def test_an_annotation_tells_what_generic_kernels_inside_are_for(classes_of):
    events = [annotation("experts", 0, 10), *launched(GEMM, "aten::mm"), *launched(GEMM, "aten::mm", 2, 100)]
    assert classes_of(events) == ["experts", "gemm"]


def test_a_users_rules_come_first(classes_of, tmp_path):
    rules = tmp_path / "mine.yaml"
    rules.write_text("names:\n  - class: experts\n    match: ['^zyxw', nvjet]\n")
    assert classes_of(in_a_row("zyxw_1", GEMM), rules=rules) == ["experts", "experts"]


def test_a_lower_priority_comes_after_the_shipped_rules(classes_of, tmp_path):
    rules = tmp_path / "mine.yaml"
    rules.write_text("names:\n  - {class: experts, match: ['zyxw', nvjet], priority: -1}\n")
    assert classes_of(in_a_row("zyxw_1", GEMM), rules=rules) == ["experts", "gemm"]


@pytest.mark.parametrize(
    "text, key, complaint",
    [
        ("names:\n  - {class: expert, match: [a]}\n", "names[0].class", "experts"),
        ("names:\n  - {class: experts, match: ['(a']}\n", "names[0].match[0]", "no regular expression"),
        ("names:\n  - {class: experts, match: ['(a+)+$']}\n", "names[0].match[0]", "itself repeats"),
        ("names:\n  - {class: experts, match: ['.*.*.*x']}\n", "names[0].match[0]", "too many repeats"),
        ("names:\n  - {class: experts, matches: [a]}\n", "names[0].match", "missing"),
        ("names:\n  - {class: experts, match: []}\n", "names[0].match", ""),
        ("kernels: []\n", "kernels", "names"),
    ],
)
def test_a_wrong_rule_names_file_line_and_key(tmp_path, text, key, complaint):
    rules = tmp_path / "mine.yaml"
    rules.write_text(text)
    with pytest.raises(InputError) as raised:
        load_rules(rules)
    assert (raised.value.file, raised.value.key) == (rules, key)
    assert raised.value.line == text.count("\n", 0, text.rindex("\n")) + 1
    assert complaint in raised.value.message


@pytest.mark.parametrize(
    "pattern", ["moe.{0,40}gemm", "^_?topk", "a*b", "(?<!paged)kv_?cache", "(a|b|c){1}x?y?z?"]
)
def test_a_bounded_pattern_is_allowed(pattern):
    assert check_pattern(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*", "(a|a)*$", "(a?){50}", "(.)\\1", "(a.{0,100}){3}", "a?" * 30, ".*a.*b.*c", "[", "(" * 9],
)
def test_a_pattern_that_could_run_forever_is_refused(pattern):
    assert check_pattern(pattern)


def test_a_name_of_a_megabyte_is_classified_at_once(rules):
    assert CLASSES[by_names(["x" * 1_000_000 + "gemm"], rules.names)[0]] == "gemm"
    assert CLASSES[by_names(["x" * MAX_NAME + "gemm" + "x" * MAX_NAME], rules.names)[0]] == "other"
