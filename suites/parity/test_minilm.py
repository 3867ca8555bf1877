"""all-MiniLM-L6-v2: the Flax port of BERT computes what the PyTorch one computes, layer by layer."""

import pytest


@pytest.mark.case("minilm-*")
def test_port_agrees(case, parity):
    parity(case)
