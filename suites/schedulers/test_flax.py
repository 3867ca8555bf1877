"""The schedulers in Flax and their twins in PyTorch take the same steps; where they do not, the register says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.adapters.source import Replaced
from harness.errors import SpecError
from harness.parity.compare import Verdict
from harness.register import Row, read_register
from harness.schedulers.corrections import Correction, Corrections, read_corrections
from harness.schedulers.outcome import Outcome
from harness.schedulers.trajectory import compared, largest, twin_outcome
from harness.schedulers.twins import Setting, Table, Trial, read_twins, settings

FIXTURES = Path(__file__).parents[2] / "fixtures"
TABLE: Table = read_twins(FIXTURES / "schedulers" / "twins.toml")
CORRECTIONS: Corrections = read_corrections(FIXTURES / "schedulers" / "corrections-flax.toml")
REGISTERED: tuple[Row, ...] = tuple(
    row for row in read_register(FIXTURES / "register") if row.area == "schedulers" and row.id.startswith("flax-")
)
ERRORS = {row.id: row.error for row in REGISTERED}
LIMITED = [row.id for row in REGISTERED if row.id not in {entry.id for entry in CORRECTIONS.correction}]

Judge = Callable[[Outcome], None]


@pytest.fixture(autouse=True)
def _jax(originals: None) -> None:
    """PyTorch and diffusers are asked for by the suite itself, k-diffusion by `originals`."""
    pytest.importorskip("jax")
    pytest.importorskip("flax")


@pytest.mark.parametrize("name", [twin.id for twin in TABLE.twin if twin.quick_steps])
def test_twins_quickly(name: str, schedule: Judge) -> None:
    schedule(twin_outcome(settings(TABLE, TABLE.named(name), slow=False), CORRECTIONS))


@pytest.mark.slow
@pytest.mark.parametrize("name", [twin.id for twin in TABLE.twin])
def test_twins(name: str, schedule: Judge) -> None:
    schedule(twin_outcome(settings(TABLE, TABLE.named(name), slow=True), CORRECTIONS))


@pytest.mark.parametrize("row", REGISTERED, ids=lambda row: row.id)
def test_register_names_a_row_and_a_line(row: Row) -> None:
    """Each cause has a row of the table to itself, which mends all others, and a line that exists."""
    import diffusers

    assert row.subjects == (f"{row.id}.twin",)
    assert row.id not in TABLE.named(row.id).mended
    assert row.proof.endswith(f"[{row.id}]")
    file, line = row.where.split(":")
    source = (Path(diffusers.__file__).parents[1] / file).read_text().splitlines()
    assert source[int(line) - 1].strip(), row.where


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({row.id for row in REGISTERED} - set(LIMITED)))
def test_correction_makes_the_twins_agree(name: str) -> None:
    """The stated line, found once, is the cause: with it replaced the very runs that differed agree."""
    twin = TABLE.named(name)
    installed = (twin_outcome([one], CORRECTIONS) for one in settings(TABLE, twin, slow=True))
    wrong = next(one for one in installed if one.verdict is Verdict.DIVERGE)
    assert np.isfinite(wrong.error) == np.isfinite(ERRORS[name]), "a number or none: the register has the other"
    outcome = twin_outcome(settings(TABLE, twin, slow=True, corrected=(name,)), CORRECTIONS)
    assert outcome.verdict is Verdict.AGREE, str(outcome)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITED)
def test_rounding_is_the_cause(name: str) -> None:
    """The error falls with the type's eps; ten times that are allowed, since which way numbers round is chance."""
    twin = TABLE.named(name)
    for setting in settings(TABLE, twin, slow=True):
        if not setting.wide:
            wide = dataclasses.replace(setting, wide=True)
            short_error, wide_error = (twin_outcome([one], CORRECTIONS).error for one in (setting, wide))
            assert wide_error <= 10.0 * short_error * np.finfo(np.float64).eps / np.finfo(np.float32).eps, str(setting)


PLANTED = [
    (
        "flax-ddim",
        "pred_epsilon = (alpha_prod_t**0.5) * model_output + (beta_prod_t**0.5) * sample",
        "pred_epsilon = (alpha_prod_t**0.5) * model_output - (beta_prod_t**0.5) * sample",
        "velocity",
    ),
    ("flax-ddim", "round()[::-1] + self.config.steps_offset", "round()[::-1]", "offset"),
    ("flax-pndm", "(3 * state.ets[-1] - state.ets[-2]) / 2", "(3 * state.ets[-1] - state.ets[-3]) / 2", "skip"),
    ("flax-pndm", "1 / 3 * model_output,  # remainder 1", "1 / 6 * model_output,  # remainder 1", ""),
    ("flax-euler", "dt = state.sigmas[step_index + 1] - sigma", "dt = state.sigmas[step_index] - sigma", ""),
    (
        "flax-dpm",
        "h, h_0 = lambda_t - lambda_s0, lambda_s0 - lambda_s1\n",
        "h, h_0 = lambda_t - lambda_s0, lambda_t - lambda_s1\n",
        "",
    ),
    ("flax-dpm", "step_index == len(state.timesteps) - 2", "step_index == len(state.timesteps) - 1", "order 3 solver"),
    (
        "flax-ddpm",
        "current_sample_coeff = state.common.alphas[t] ** (0.5)",
        "current_sample_coeff = state.common.alphas[t]",
        "",
    ),
    (
        "flax-ddpm",
        "variance = (1 - alpha_prod_t_prev) / (1 - alpha_prod_t) * state.common.betas[t]",
        "variance = state.common.betas[t]",
        "",
    ),
    ("flax-lms", "order = min(timestep + 1, order)", "order = min(timestep + 2, order)", ""),
    ("flax-karras", "0.5 * derivative + 0.5 * derivative_corr", "derivative_corr", ""),
    ("flax-sde", "prev_sample_mean = sample - drift", "prev_sample_mean = sample + drift", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "old", "new", "trial"), PLANTED)
def test_planted_fault_is_caught(name: str, old: str, new: str, trial: str) -> None:
    twin = TABLE.named(name)
    fault = Correction(id="planted", scheduler=twin.port, old=old, new=new)
    corrections = Corrections(correction=(*CORRECTIONS.correction, fault))
    tried = next(one for one in (Trial(id=""), *TABLE.tried(twin, slow=True)) if one.id == trial)
    steps = TABLE.named(name).steps[-1] if name == "flax-ddpm" else 7
    sound = Setting(twin=twin, trial=tried, steps=steps, wide=True)
    assert twin_outcome([sound], corrections).verdict is Verdict.AGREE
    wrong = dataclasses.replace(sound, corrected=("planted",))
    assert twin_outcome([wrong], corrections).verdict is Verdict.DIVERGE


def test_a_line_that_is_not_there_is_no_correction() -> None:
    from harness.adapters.diffusers.copies import scheduler_class

    with pytest.raises(SpecError, match="occurs 0 times, not once"):
        scheduler_class("FlaxDDIMScheduler", wide=True, edits=(Replaced("no such line", ""),))


def test_wide_copy_takes_the_shared_file_from_a_copy() -> None:
    """The training schedule is float64 through and through, and the installed modules stay what they are."""
    import sys

    import jax

    from harness.adapters.diffusers.copies import scheduler_class

    before = sys.modules.get("diffusers.schedulers.scheduling_utils_flax")
    kind = scheduler_class("FlaxEulerDiscreteScheduler", wide=True)
    with jax.enable_x64(True):
        state = kind().create_state()
    assert state.common.betas.dtype == state.sigmas.dtype == np.float64
    assert sys.modules.get("diffusers.schedulers.scheduling_utils_flax") is before
    assert type(state.common).__module__ == "diffusers.schedulers.scheduling_utils_flax"
    assert before is None or type(state.common) is not before.CommonSchedulerState


def test_two_runs_are_compared_call_by_call() -> None:
    """A step too few, a NaN on one side and a NaN on both are told apart."""
    from harness.adapters.sampling import Call, Level, Sampled

    def run(*values: float) -> Sampled:
        arrays = [np.full((2, 3), value) for value in values]
        level = Level(1.0, 1.0)
        return Sampled(tuple(Call(1.0, level, one, one) for one in arrays), (), tuple(arrays), (level,) * len(arrays))

    nan = float("nan")
    assert largest(compared(run(1.0, 2.0), run(1.0, 2.0), limit=1e-12)) == 0.0
    assert largest(compared(run(1.0, 2.0), run(1.0, 2.5), limit=1e-12)) == pytest.approx(0.25)
    assert largest(compared(run(1.0, 2.0), run(1.0), limit=1e-12)) == float("inf")
    assert largest(compared(run(1.0, 2.0), run(1.0, nan), limit=1e-12)) == float("inf")
    assert np.isnan(largest(compared(run(1.0, nan), run(1.0, nan), limit=1e-12)))
