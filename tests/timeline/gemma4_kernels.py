"""The kernels of Gemma 4's decode steps on a CUDA GPU, in order, by the names that torch 2.11 and Triton give them.

A graph's replay has no ops: names and order are all that tells what a kernel is for. Split routing is six launches a
layer: top-k and the sort of what it chose, softmax, gather of the scales, product, cast of the ids.
"""

from __future__ import annotations

AT = "void at::native::"
NORM = (
    f"{AT}(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float, true>(int, float, "
    "c10::BFloat16 const*, c10::BFloat16 const*, c10::BFloat16 const*, float*, float*, c10::BFloat16*)"
)
GEMV = "std::enable_if<!(false), void>::type internal::gemvx::kernel<int, int, __nv_bfloat16, __nv_bfloat16, float>"
GEMM = "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_TNT"
SPLIT_K = "void cublasLt::splitKreduce_kernel<32, 16, int, __nv_bfloat16, __nv_bfloat16, float, __nv_bfloat16, true>"
MUL = (
    f"{AT}vectorized_elementwise_kernel<8, at::native::BinaryFunctor<c10::BFloat16, c10::BFloat16, c10::BFloat16, "
    "at::native::binary_internal::MulFunctor<float> >, std::array<char*, 3ul> >(int)"
)
MUL_SCALAR = (
    f"{AT}vectorized_elementwise_kernel<8, at::native::AUnaryFunctor<at::native::MulFunctor<float> > >(int)"
)
ADD = f"{AT}vectorized_elementwise_kernel<8, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul> >(int)"
GELU = f"{AT}vectorized_elementwise_kernel<8, at::native::GeluCUDAKernelImpl(at::TensorIteratorBase&)::lambda>(int)"
NEG = (
    f"{AT}vectorized_elementwise_kernel<8, at::native::neg_kernel_cuda(at::TensorIteratorBase&)::lambda>(int)"
)
CAT = f"{AT}(anonymous namespace)::CatArrayBatchedCopy<at::native::(anonymous namespace)::OpaqueType<2u> >"
INDEX_PUT = (
    f"{AT}index_elementwise_kernel<128, 4, at::native::gpu_index_kernel<at::native::index_put_kernel_impl<"
    "at::native::OpaqueType<2> >(at::TensorIterator&, c10::ArrayRef<long>, c10::ArrayRef<long>)::lambda>"
)
ATTENTION = (
    "void pytorch_flash::flash_fwd_splitkv_kernel<pytorch_flash::Flash_fwd_kernel_traits<256, 64, 64, 4> >"
)
ATTENTION_SOFTMAX = f"{AT}(anonymous namespace)::cunn_SoftMaxForward<8, c10::BFloat16, float, c10::BFloat16>"
EMBEDDING = f"{AT}(anonymous namespace)::indexSelectSmallIndex<c10::BFloat16, long, unsigned int, 2, 2, -2>"
ARG_MAX = f"{AT}reduce_kernel<512, 1, at::native::ReduceOp<c10::BFloat16, at::native::ArgMaxOps<float> > >"
TANH = f"{AT}vectorized_elementwise_kernel<8, at::native::tanh_kernel_cuda(at::TensorIteratorBase&)::lambda>(int)"

TOPK = (
    f"{AT}sbtopk::gatherTopK<c10::BFloat16, unsigned int, 2, false>(at::cuda::detail::TensorInfo<c10::BFloat16 const, "
    "unsigned int>, unsigned int, unsigned int, bool, unsigned int, unsigned int)"
)
SORT = (
    f"{AT}bitonicSortKVInPlace<2, -1, 16, 16, c10::BFloat16, long, at::native::GTOp<c10::BFloat16, true>, "
    "unsigned int>(at::cuda::detail::TensorInfo<c10::BFloat16, unsigned int>)"
)
SOFTMAX = (
    "void (anonymous namespace)::softmax_warp_forward<c10::BFloat16, float, float, 3, false, false>(float*)"
)
GATHER = (
    f"{AT}index_elementwise_kernel<128, 4, at::native::gpu_index_kernel<at::native::index_kernel_impl<"
    "at::native::OpaqueType<2> >(at::TensorIteratorBase&, c10::ArrayRef<long>, c10::ArrayRef<long>)::lambda>"
)
WEIGHTS = (
    f"{AT}unrolled_elementwise_kernel<at::native::BinaryFunctor<float, float, float, at::native::binary_internal::"
    "MulFunctor<float> >, std::array<char*, 3ul>, 4, TrivialOffsetCalculator<2, unsigned int> >(int)"
)
CAST = (
    f"{AT}unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::lambda, "
    "std::array<char*, 2ul>, 4, TrivialOffsetCalculator<1, unsigned int>, at::native::memory::LoadWithCast<1> >(int)"
)

SPLIT_ROUTING = (TOPK, SORT, SOFTMAX, GATHER, WEIGHTS, CAST)
FUSED_ROUTING = ("routing_kernel",)
DECODE = ("expert_matmul_kernel", "expert_matmul_kernel", "sum_kernel")
BY_TOKEN = ("expert_matmul_kernel", "token_down_kernel")
GROUPED = (
    "align_kernel",
    "grouped_matmul_kernel",
    "activation_kernel",
    "grouped_matmul_kernel",
    "sum_kernel",
)


def bare(name):
    """The function's own name, as some exporters cut it."""
    if not name.startswith("void"):
        return name
    return (
        name.replace("(anonymous namespace)::", "")
        .split("(")[0]
        .split("<")[0]
        .split("::")[-1]
        .removeprefix("void ")
    )


def layer(routing, experts, *, attention=(ATTENTION,)):
    """A decoder layer."""
    rope = (MUL, NEG, CAT, MUL, ADD)
    attend = (
        NORM,
        GEMV,
        GEMV,
        GEMV,
        NORM,
        NORM,
        NORM,
        *rope,
        *rope,
        INDEX_PUT,
        INDEX_PUT,
        *attention,
        GEMV,
        NORM,
        ADD,
    )
    dense = (NORM, GEMM, SPLIT_K, GELU, MUL, GEMM, SPLIT_K)
    router = (NORM, MUL, MUL_SCALAR, GEMV, *routing)
    return (*attend, *dense, *router, NORM, *experts, NORM, NORM, ADD, NORM, ADD, MUL)


def step(routing, experts, *, layers=30, **more):
    """A decode step: embedding, layers, logits with their cap, the likeliest token."""
    head = (NORM, GEMM, MUL_SCALAR, TANH, MUL_SCALAR, ARG_MAX)
    return (EMBEDDING, MUL_SCALAR, *layer(routing, experts, **more) * layers, *head)
