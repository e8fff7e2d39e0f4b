from __future__ import annotations

import numpy as np
import pytest

from moe_kernels.registry import TUNABLES
from workbench.base.errors import InputError
from workbench.sweep.routing_distributions import routing_distributions
from workbench.sweep.spec import load_spec

ROUTING = TUNABLES["routing"]


@pytest.fixture
def distributions(sweep_file, toy):
    def found(routing, kernel=ROUTING):
        return routing_distributions(load_spec(sweep_file(measure=f"{{routing: {routing}}}")), kernel)

    return found


def test_one_or_several_distributions_are_found_by_their_names(distributions):
    assert [each.label for each in distributions("uniform")] == ["uniform"]
    assert [each.label for each in distributions("[uniform, zipf, 'zipf:1.50']")] == [
        "uniform",
        "zipf:1",
        "zipf:1.5",
    ]


def test_recorded_ids_are_named_by_their_content(distributions, tmp_path):
    np.save(tmp_path / "ids.npy", np.array([[0, 1], [5, 2]]))
    np.save(tmp_path / "same.npy", np.array([[0, 1], [5, 2]]))
    first, second = distributions("[recorded:ids.npy, recorded:same.npy]")
    assert first.label == second.label
    assert first.label.startswith("recorded:")
    assert first.ids.tolist() == [[0, 1], [5, 2]]


@pytest.mark.parametrize(
    "routing, told",
    [
        ("even", "'even' is no routing; allowed: uniform, zipf"),
        ("'zipf:-1'", "is no routing"),
        ("'zipf:0'", "an exponent above 0"),
        ("'zipf:99'", "an exponent above 0"),
        ("[]", "measure.routing: is empty"),
        ("recorded:none.npy", "none.npy: no array of recorded ids"),
    ],
)
def test_what_is_no_distribution_is_one_line_that_points_into_the_file(distributions, routing, told):
    with pytest.raises(InputError) as caught:
        distributions(routing)
    assert told in str(caught.value)
    assert "sweep.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 2), dtype=np.int64),
        np.array([[0.0, 1.0]]),
        np.array([0, 1]),
        np.array([[0, -1]]),
        np.array([[3, 3]]),
        np.array([[0, 1 << 40]]),
    ],
)
def test_an_array_that_is_no_routing_is_refused(distributions, tmp_path, array):
    np.save(tmp_path / "ids.npy", array)
    with pytest.raises(InputError, match="recorded ids are integers"):
        distributions("recorded:ids.npy")


def test_a_file_that_python_would_have_to_unpickle_is_refused(distributions, tmp_path):
    np.save(tmp_path / "ids.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="no array of recorded ids"):
        distributions("recorded:ids.npy")


def test_a_kernel_without_routed_inputs_takes_the_uniform_one_only(distributions, toy):
    assert distributions("uniform", toy)[0].kind == "uniform"
    with pytest.raises(InputError, match="only uniform is allowed"):
        distributions("zipf", toy)
