"""Causes of the register that no change of one line mends, proved in other ways."""

import pytest

from harness.parity.compare import Verdict
from harness.schedulers.agreement import GATES
from harness.schedulers.checks import check
from harness.schedulers.drive import noises, run_pair
from harness.schedulers.exact import TWO_BUMPS
from harness.schedulers.oracle import oracle_loop


def test_churn_is_right_where_the_model_does_not_look(originals, table):
    """A model whose answer does not depend on the sample cannot tell whether noise was added before or after."""
    assert check(table.named("euler-noise"), "original", table).verdict is Verdict.DIVERGE
    assert check(table.named("euler-noise-constant"), "original", table).verdict is Verdict.AGREE


def test_the_documented_dpmpp_sde_draws_no_noise(originals, table):
    import numpy as np

    row = table.named("dpmpp-sde")
    start = np.random.default_rng(0).standard_normal((2, 3))
    pair = run_pair(row, row.recipe(), TWO_BUMPS.denoise, noises(64, (2, 3), seed=1), start)
    assert not pair.port.draws
    assert pair.reference.draws
    assert check(table.named("dpmpp-2s"), "original", table).verdict is Verdict.AGREE
    assert check(table.named("dpmpp-sde-own"), "original", table).verdict is Verdict.AGREE


@pytest.mark.slow
def test_limits_of_float32_vanish_in_float64(originals, table):
    for name in ("heun-squared-cosine", "dpm2-a-squared-cosine"):
        outcome = check(table.named(name), "original", table)
        assert outcome.numbers["error64"] <= GATES[True]
        assert outcome.numbers["error32"] > GATES[False]
    row = table.named("lms-karras-500")
    narrow, wide = (oracle_loop(row, table.tried(row, slow=False), wide=wide).error for wide in (False, True))
    assert wide < 1e-9 < narrow
