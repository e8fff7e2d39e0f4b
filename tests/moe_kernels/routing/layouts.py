"""The same values under other strides; where a layout repeats memory it repeats values too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor


def contiguous(values: Tensor) -> Tensor:
    return values.contiguous()


def inside_wider_rows(values: Tensor) -> Tensor:
    """Columns of a wider tensor, from an odd offset: rows are strided and not aligned."""
    wide = values.new_full((values.shape[0], values.shape[1] + 4), float("inf"))
    wide[:, 1:-3] = values
    return wide[:, 1:-3]


def every_other_row(values: Tensor) -> Tensor:
    return values.repeat_interleave(2, dim=0)[::2]


def one_row_expanded(values: Tensor) -> Tensor:
    return values[:1].expand_as(values)


def overlapping_rows(values: Tensor) -> Tensor:
    """A window that slides by one element: rows share memory."""
    tokens, experts = values.shape
    flat = values.reshape(-1)[: tokens + experts - 1]
    return flat.unfold(0, experts, 1) if tokens else values


def transposed(values: Tensor) -> Tensor:
    return values.t().contiguous().t()


def every_other_column(values: Tensor) -> Tensor:
    return values.repeat_interleave(2, dim=1)[:, ::2]


def one_column_expanded(values: Tensor) -> Tensor:
    return values[:, :1].expand_as(values)


LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    layout.__name__: layout
    for layout in (
        contiguous,
        inside_wider_rows,
        every_other_row,
        one_row_expanded,
        overlapping_rows,
        transposed,
        every_other_column,
        one_column_expanded,
    )
}


def strided_scale(values: Tensor) -> Tensor:
    return values.repeat_interleave(3)[::3]


def expanded_scale(values: Tensor) -> Tensor:
    return values[:1].expand_as(values)


SCALE_LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    layout.__name__: layout for layout in (contiguous, strided_scale, expanded_scale)
}
