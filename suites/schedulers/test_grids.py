"""Every scheduler has the noise levels that its options describe, and tells the model the timesteps of its samples."""

import functools
from pathlib import Path

import pytest

from harness.adapters.sampling import Recipe
from harness.adapters.source import Replaced
from harness.parity.compare import Verdict
from harness.register import read_register
from harness.schedulers.corrections import read_corrections
from harness.schedulers.grid_cases import (
    LEVELS,
    TOLD,
    initial_apart,
    levels_apart,
    read_cases,
    told_apart,
)
from harness.schedulers.grids import CLASSES, grid_of
from harness.schedulers.outcome import Outcome

pytestmark = pytest.mark.filterwarnings("ignore")

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = read_cases(FIXTURES / "schedulers" / "grids.toml")
CHECKS = CASES.checks()
KEYS = pytest.mark.parametrize(("name", "check"), [pytest.param(*key, id="-".join(key)) for key in CHECKS])
SUBJECTS = {row.id: row.subjects for row in read_register(FIXTURES / "register")}
CORRECTED = [
    (key, name, subject.removeprefix(f"{name}."), edits)
    for (key, name), edits in read_corrections(FIXTURES / "schedulers" / "corrections-properties.toml")
    .by_scheduler()
    .items()
    for subject in SUBJECTS[key]
    if tuple(subject.split(".")) in CHECKS and subject.startswith(f"{name}.")
]

LONG = ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler")
"""They set as many timesteps as training has when they are made, a second's work: here they have 100."""

WHOLE = ("as it stands", "karras", "trailing")
"""The cases that these classes are tried on with all 1000, in slow runs."""


def found(name, check, *, slow, edits=()):
    """The outcome of a check of a class: the worst of its cases and step counts."""
    pytest.importorskip("diffusers")
    results = []
    for case in CHECKS[name, check]:
        for steps in counts(name, case, slow=slow):
            settings, got, want = compared(name, case.id, steps, edits)
            levels = check.startswith("grid")
            error, where = levels_apart(got, want) if levels else told_apart(got, want, settings)
            results.append((error, f"{case.id}, {steps} steps: {where}"))
    return outcome(name, check, results, LEVELS if check.startswith("grid") else TOLD)


def outcome(name, check, results, limit):
    error, worst = max(results, default=(0.0, ""))
    return Outcome(
        row=name,
        check=check,
        title=name,
        reference="the formulas of its options",
        port="its timesteps and sigmas",
        error=error,
        limit=limit,
        worst=worst,
        compared=len(results),
    )


@functools.cache
def compared(name, id, steps, edits=()):  # noqa: A002
    """Settings, what the scheduler has, and what it should have; `grid` and `told` judge the same."""
    from harness.adapters.diffusers.settings import read, settings_of

    recipe = Recipe(name, steps, options(name, CASES.named(id), steps), edits=edits)
    settings, got = settings_of(recipe), read(recipe)
    return settings, got, grid_of(name, settings, steps, got.timesteps)


def options(name, case, steps):
    few = name in LONG and steps <= 100
    return ({"num_train_timesteps": 100} if few else {}) | dict(case.options)


def counts(name, case, *, slow):
    """The step counts of the case for which the class promises anything."""
    from harness.adapters.diffusers.settings import defaults_of

    settings = defaults_of(name) | dict(case.options)
    most = settings.get("original_inference_steps", settings.get("num_train_timesteps", 1000))
    least = 4 if settings.get("skip_prk_steps") is False else 1  # the first three steps of PNDM are of Runge and Kutta
    kept = [steps for steps in case.counts(slow=slow) if least <= steps <= most]
    return [n for n in kept if name not in LONG or n <= 100 or (n == 1000 and case.id in WHOLE)]


@KEYS
def test_levels_and_timesteps_are_those_of_the_options(name, check, schedule):
    schedule(found(name, check, slow=False))


@pytest.mark.slow
@KEYS
def test_levels_and_timesteps_at_more_step_counts(name, check, schedule):
    schedule(found(name, check, slow=True))


@pytest.mark.parametrize("name", CLASSES)
def test_the_first_sample_has_the_size_of_the_first_level(name, schedule):
    pytest.importorskip("diffusers")
    results = []
    for case in CASES.case:
        if name in CASES.classes(case) and not (case.grid or "flow" in case.id):
            for steps in counts(name, case, slow=False)[-1:]:
                settings, got, _want = compared(name, case.id, steps)
                error, where = initial_apart(got, settings)
                results.append((error, f"{case.id}, {steps} steps: {where}"))
    schedule(outcome(name, "initial", results, LEVELS))


def one_of_each(corrected):
    """Each cause once is enough for a quick run: the other classes have the same line."""
    seen = set()
    for row, name, check, edits in corrected:
        marks = [pytest.mark.slow] if row in seen else []
        seen.add(row)
        yield pytest.param(name, check, edits, marks=marks, id=f"{row}-{name}-{check}")


@pytest.mark.parametrize(("name", "check", "edits"), list(one_of_each(CORRECTED)))
def test_a_correction_turns_the_check_green(name, check, edits):
    assert found(name, check, slow=False, edits=edits).verdict is Verdict.AGREE


PLANTED = {
    "sigmas counted from one": (
        "EulerDiscreteScheduler",
        "np.interp(timesteps, np.arange(0, len(sigmas)), sigmas)",
        "np.interp(timesteps, np.arange(1, len(sigmas) + 1), sigmas)",
    ),
    "a last sigma that is not 0": (
        "HeunDiscreteScheduler",
        "np.concatenate([sigmas, [0.0]])",
        "np.concatenate([sigmas, [1e-4]])",
    ),
    "swapped ends": (
        "LMSDiscreteScheduler",
        "(max_inv_rho + ramp * (min_inv_rho - max_inv_rho)) ** rho",
        "(min_inv_rho + ramp * (max_inv_rho - min_inv_rho)) ** rho",
    ),
    "a product that starts one later": (
        "DDIMScheduler",
        "self.alphas_cumprod = torch.cumprod(self.alphas, dim=0)",
        "self.alphas_cumprod = torch.cumprod(self.alphas, dim=0).roll(1)",
    ),
    "the middle of sigmas, not of their logarithms": (
        "KDPM2DiscreteScheduler",
        "sigmas.log().lerp(sigmas.roll(1).log(), 0.5).exp()",
        "sigmas.lerp(sigmas.roll(1), 0.5)",
    ),
    "an offset that is dropped": (
        "PNDMScheduler",
        "self._timesteps += self.config.steps_offset",
        "self._timesteps += 0",
    ),
    "a timestep of the level before": (
        "DPMSolverMultistepScheduler",
        "timesteps = np.array([self._sigma_to_t(sigma, log_sigmas) for sigma in sigmas])\n"
        '            if self.config.beta_schedule != "squaredcos_cap_v2":\n'
        "                timesteps = timesteps.round()\n"
        "        elif self.config.use_lu_lambdas",
        "timesteps = np.array([self._sigma_to_t(sigma, log_sigmas) for sigma in sigmas]) - 1\n"
        '            if self.config.beta_schedule != "squaredcos_cap_v2":\n'
        "                timesteps = timesteps.round()\n"
        "        elif self.config.use_lu_lambdas",
    ),
    "a shift that is forgotten": (
        "FlowMatchHeunDiscreteScheduler",
        "sigmas = self.config.shift * sigmas / (1 + (self.config.shift - 1) * sigmas)",
        "sigmas = sigmas",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_of_the_grid_is_seen(fault):
    name, old, new = PLANTED[fault]
    edits = (Replaced(old, new),)
    verdicts = {found(name, check, slow=False, edits=edits).verdict for check in ("grid", "told")}
    assert Verdict.DIVERGE in verdicts
