"""Records as pandas data frames: a row a record, each column with a dtype that says what is missing.

Text is `string`, whole numbers are `Int64` and truth is `boolean`: what is missing there is NA. Other numbers are
`float64`: what is missing there is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from workbench.base.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame
    from pandas.api.extensions import ExtensionArray

Dtype = Literal["string", "Int64", "float64", "boolean"]
T = TypeVar("T")


def frame_of(
    records: Sequence[T],
    columns: Mapping[str, tuple[Dtype, Callable[[T], Any]]],
    groups: Mapping[str, Callable[[T], Mapping[str, Any]]] | None = None,
) -> DataFrame:
    """A data frame of some records.

    Args:
        records: of one kind.
        columns: each column's dtype and where it is in a record; None is missing.
        groups: mappings whose keys only the records know. The key `a` of the group `config` is the column `config_a`;
            it is missing where a record's mapping is without it.

    Raises:
        InputError: a value is not of its column's dtype; names the column.
    """
    import pandas as pd

    found: dict[str, Any] = {}
    name = ""
    try:
        for name, (dtype, get) in columns.items():
            found[name] = pd.array([get(record) for record in records], dtype=dtype)
        for name, get_mapping in (groups or {}).items():
            mappings = [get_mapping(record) for record in records]
            for key in dict.fromkeys(key for mapping in mappings for key in mapping):
                found[f"{name}_{key}"] = _typed([mapping.get(key) for mapping in mappings])
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise InputError(f"damaged: a record's {name} is no such value: {error}", key=name) from error
    return pd.DataFrame(found)


def _typed(values: Sequence[Any]) -> ExtensionArray:
    """Values as their kind has them; text where there are several kinds, or a whole number of more than 64 bits."""
    import pandas as pd

    kinds = set(map(type, values)) - {type(None)}
    dtype: Dtype = "string"
    if kinds == {bool}:
        dtype = "boolean"
    elif kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        dtype = "Int64"
    elif float in kinds and kinds <= {int, float}:
        dtype = "float64"
    if dtype == "string":
        values = [None if value is None else str(value) for value in values]
    return pd.array(list(values), dtype=dtype)
