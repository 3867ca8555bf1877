"""What the configurations of both sides say of a cause: the setting that the port does not follow, and no other."""

import pytest

from harness.parity.causes import Cause
from harness.parity.configured import configured


def cause(name, detail):
    return Cause("module", "module", name, detail, 0.1, 1e-12, 1)


BASE = cause("rotary base", "10000 in the port")


@pytest.mark.parametrize(
    ("found", "ours", "theirs", "says"),
    [
        (
            BASE,
            {"rope_theta": 100000},
            {"rope_theta": 100000.0},
            "the configuration's rope_theta is 100000.0, which the port does not follow",
        ),
        (
            BASE,
            {"rope_theta": 100000},
            {"rope_theta": 10000},
            "the configuration's rope_theta is 10000 in the port, 100000 in the reference",
        ),
        (
            BASE,
            {"rope_theta": 100000},
            {},
            "the configuration's rope_theta is 100000 in the reference alone, which the port does not follow",
        ),
        (BASE, {"rope_theta": 10000}, {"rope_theta": 10000}, ""),
        (BASE, {}, {}, ""),
        (BASE, {"rope_theta": None}, {"rope_theta": None}, ""),
        (
            cause("head not tied", "the reference uses embed; its weight was not loaded"),
            {"tie_word_embeddings": True},
            {"tie_word_embeddings": True},
            "the configuration's tie_word_embeddings is True, which the port does not follow",
        ),
        (cause("head tied", "x"), {"tie_word_embeddings": True}, {"tie_word_embeddings": True}, ""),
        (
            cause("epsilon", "epsilon 0.001 in the port, 1e-05 in the reference"),
            {"layer_norm_eps": 1e-5},
            {"layer_norm_eps": 1e-5},
            "the configuration's layer_norm_eps is 1e-05, which the port does not follow",
        ),
        (
            cause("activation", "tanh GELU in the port, erf GELU in the reference"),
            {"hidden_act": "gelu"},
            {"hidden_act": "gelu"},
            "the configuration's hidden_act is 'gelu', which the port does not follow",
        ),
        (
            cause("activation", "tanh GELU in the port, erf GELU in the reference"),
            {"hidden_act": "gelu_new"},
            {"hidden_act": "gelu_new"},
            "",
        ),
        (cause("residual missing", "x is not added"), {"rope_theta": 1}, {"rope_theta": 2}, ""),
    ],
)
def test_the_setting_beside_the_cause(found, ours, theirs, says):
    assert configured(found, ours, theirs) == says
