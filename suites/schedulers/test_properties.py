"""What every scheduler should do, whatever its options: its grid falls, its rows are apart, it remembers nothing."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from harness.adapters.diffusers.signatures import takes
from harness.adapters.sampling import Recipe
from harness.adapters.source import Replaced
from harness.parity.compare import Verdict
from harness.register import read_register
from harness.schedulers.corrections import read_corrections
from harness.schedulers.grid_cases import read_cases
from harness.schedulers.options import (
    LIMITS,
    RUN_STEPS,
    RUNS,
    coarse,
    known,
    possible,
    promised,
    read_options,
    schedulers,
)
from harness.schedulers.outcome import Outcome

pytestmark = pytest.mark.filterwarnings("ignore")

FIXTURES = Path(__file__).parents[2] / "fixtures"
OPTIONS = read_options(FIXTURES / "schedulers" / "properties.toml")
EXAMPLES = OPTIONS.examples()
QUICK, SLOW = 2, 24
"""Options that are tried, a property and class: enough that the planted faults below are seen, and many more."""

LONG = ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "LMSDiscreteScheduler", "DPMSolverSDEScheduler")
"""Each of their objects or steps takes long: a quick run tries their grids, not whole runs."""

SUITES = ("suites/schedulers/test_grids.py", "suites/schedulers/test_properties.py")

PAIRS = [(name, prop) for name in schedulers() for prop in LIMITS if (name, prop) not in EXAMPLES]


QUICK_CLASSES = (
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "KDPM2DiscreteScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler",
)
"""What pipelines use most. The others wait for slow runs, which try every class under more options besides."""


def properties(pairs):
    return pytest.mark.parametrize(("name", "prop"), [pytest.param(*pair, id="-".join(pair)) for pair in pairs])


CORRECTIONS = read_corrections(FIXTURES / "schedulers" / "corrections-properties.toml")
SUBJECTS = {row.id: row.subjects for row in read_register(FIXTURES / "register")}
CORRECTED = [
    pytest.param(name, subject.removeprefix(f"{name}."), edits, id=f"{row}-{subject}")
    for (row, name), edits in CORRECTIONS.by_scheduler().items()
    for subject in SUBJECTS[row]
    if subject.startswith(f"{name}.") and (tuple(subject.split(".")) in EXAMPLES or subject.endswith(".compatible"))
]


def measure(prop, recipe):
    """The error of a property, and where."""
    from harness.adapters.diffusers import configured, properties
    from harness.adapters.diffusers.settings import settings_of

    if prop == "unique":
        return properties.unique(recipe, coarse=coarse(recipe.name, settings_of(recipe)))
    return getattr(configured if prop == "saved" else properties, prop)(recipe)


def outcome(name, check, results, limit):
    error, worst = max(results, default=(0.0, ""))
    return Outcome(
        row=name,
        check=check,
        title=name,
        reference=REFERENCES[check.split("-")[0]],
        port="the scheduler as installed",
        error=error,
        limit=limit,
        worst=worst,
        compared=len(results),
    )


REFERENCES = {
    "count": "as many timesteps and sigmas as the steps asked for have",
    "falling": "timesteps and sigmas that do not rise",
    "unique": "no step at the noise of the one before",
    "arrives": "a last step that removes noise",
    "begins": "a run that begins at its first step",
    "noised": "the level that the step assumes at that timestep",
    "noised_within": "the level that the step assumes there, in the midst of a run",
    "velocity": "alpha noise - sigma data of the timestep",
    "batch": "each row run alone",
    "finite": "numbers",
    "kept": "the type of number that it was given",
    "again": "a fresh object",
    "saved": "the object that was saved",
    "compatible": "the class that it was exchanged for and back",
    "refused": "an error",
}


def tried(name, prop, *, examples, edits=()):
    """The outcome of a property of a class over options drawn, each the same in every run."""
    pytest.importorskip("diffusers")
    from harness.adapters.diffusers.settings import defaults_of

    defaults = defaults_of(name)
    values = OPTIONS.of(name, defaults)
    results = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data):
        drawn = st.fixed_dictionaries({}, optional={key: st.sampled_from(value) for key, value in values.items()})
        steps = st.integers(1, RUN_STEPS if prop in RUNS else 100)
        chosen, count = data.draw(
            st.tuples(drawn, steps)
            .map(lambda pair: (fixed(values, pair[0]), pair[1]))
            .filter(lambda pair: kept(name, prop, defaults | pair[0], pair[1]))
        )
        recipe = Recipe(name, count, chosen, wide=prop not in ("kept", "saved"), edits=edits)
        error, where = measure(prop, recipe)
        results.append((error, f"{described(chosen)}, {count} steps: {where}"))

    one()
    return outcome(name, prop, results, LIMITS[prop])


def fixed(values, chosen):
    """With what is always set: a short training; and with the prediction that a flow has."""
    always = {key: value[0] for key, value in values.items() if key == "num_train_timesteps"}
    if chosen.get("use_flow_sigmas"):
        always["prediction_type"] = "flow_prediction"
    elif chosen.get("prediction_type") == "flow_prediction":
        always["prediction_type"] = "epsilon"
    return chosen | always


def kept(name, prop, every, steps):
    return possible(every) and promised(name, every, steps) and not known(prop, name, every, steps)


def described(options):
    shown = {key: value for key, value in options.items() if key != "num_train_timesteps"}
    return ", ".join(f"{key}={value}" for key, value in shown.items()) or "as it stands"


def exemplified(name, check, *, edits=()):
    """The outcome of a check that a known defect breaks."""
    pytest.importorskip("diffusers")
    results = []
    for example in EXAMPLES[name, check]:
        for steps in example.steps:
            wide = example.property not in ("kept", "saved")
            error, where = measure(example.property, Recipe(name, steps, example.options, wide=wide, edits=edits))
            results.append((error, f"{described(example.options)}, {steps} steps: {where}"))
    return outcome(name, check, results, LIMITS[check.split("-")[0]])


@properties(
    [
        (name, prop)
        for name, prop in PAIRS
        if name in QUICK_CLASSES and (name not in LONG or prop not in (*RUNS, "saved"))
    ]
)
def test_property(name, prop, schedule):
    schedule(tried(name, prop, examples=QUICK))


@pytest.mark.slow
@properties(PAIRS)
def test_property_under_more_options(name, prop, schedule):
    schedule(tried(name, prop, examples=SLOW // (3 if prop in (*RUNS, "saved") else 1)))


@pytest.mark.parametrize(("name", "check"), [pytest.param(*key, id="-".join(key)) for key in EXAMPLES])
def test_a_known_break_is_as_registered(name, check, schedule):
    schedule(exemplified(name, check))


@pytest.mark.parametrize(
    ("name", "misuse"),
    [
        pytest.param(name, misuse, id=f"{name}-{misuse.id}")
        for misuse in OPTIONS.misuse
        for name in misuse.schedulers or schedulers()
        if set(misuse.options) <= set(takes(name))
    ],
)
def test_what_nobody_can_mean_is_refused(name, misuse, schedule):
    pytest.importorskip("diffusers")
    from harness.adapters.diffusers.configured import refused

    finding = refused(Recipe(name, misuse.steps, misuse.options))
    schedule(outcome(name, f"refused-{misuse.id.replace(' ', '-')}", [finding], 0.0))


def exchanged(name, *, edits=()):
    from harness.adapters.diffusers.configured import compatible

    return outcome(name, "compatible", [compatible(Recipe(name, 5, TRAINING_OPTIONS.get(name, {}), edits=edits))], 0.0)


TRAINING_OPTIONS = {name: {"num_train_timesteps": 100} for name in schedulers() if name not in ("IPNDMScheduler",)}


REGISTERED = {subject for subjects in SUBJECTS.values() for subject in subjects}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if f"{name}.compatible" in REGISTERED else [pytest.mark.slow])
        for name in schedulers()
    ],
)
def test_compatible_classes_can_be_exchanged(name, schedule):
    pytest.importorskip("diffusers")
    schedule(exchanged(name))


def test_every_registered_check_is_made():
    rows = read_register(FIXTURES / "register")
    registered = {subject for row in rows if row.proof.startswith(SUITES) for subject in row.subjects}
    grids = read_cases(FIXTURES / "schedulers" / "grids.toml").checks()
    misused = {f"refused-{misuse.id.replace(' ', '-')}" for misuse in OPTIONS.misuse}
    made = {".".join(key) for key in (*grids, *EXAMPLES)}
    rest = {tuple(subject.split(".")) for subject in registered - made}
    assert all(name in schedulers() and check in {"compatible", *misused} for name, check in rest)


@pytest.mark.parametrize(("name", "check", "edits"), CORRECTED)
def test_a_correction_turns_the_check_green(name, check, edits):
    found = exchanged(name, edits=edits) if check == "compatible" else exemplified(name, check, edits=edits)
    assert found.verdict is Verdict.AGREE


PLANTED = {
    "outputs of the run before": (
        "DEISMultistepScheduler",
        "again",
        "        self.model_outputs = [\n            None,\n        ] * self.config.solver_order\n"
        "        self.lower_order_nums = 0\n\n        # add an index",
        "        # add an index",
    ),
    "a step index of the run before": (
        "EulerDiscreteScheduler",
        "again",
        "        self._step_index = None\n        self._begin_index = None\n        self.sigmas = sigmas.to",
        "        self._begin_index = None\n        self.sigmas = sigmas.to",
    ),
    "noise of the step after": (
        "EulerDiscreteScheduler",
        "noised",
        "sigma = sigmas[step_indices].flatten()",
        "sigma = sigmas[[index + 1 for index in step_indices]].flatten()",
    ),
    "swapped levels": (
        "DDIMScheduler",
        "velocity",
        "velocity = sqrt_alpha_prod * noise - sqrt_one_minus_alpha_prod * sample",
        "velocity = sqrt_alpha_prod * sample - sqrt_one_minus_alpha_prod * noise",
    ),
    "rows that are mixed": (
        "DDPMScheduler",
        "batch",
        "        pred_prev_sample = pred_original_sample_coeff * pred_original_sample",
        "        sample = sample - sample.mean() / 100\n"
        "        pred_prev_sample = pred_original_sample_coeff * pred_original_sample",
    ),
    "a type that is not kept": (
        "DPMSolverMultistepScheduler",
        "kept",
        "prev_sample = prev_sample.to(model_output.dtype)",
        "prev_sample = prev_sample",
    ),
    "one timestep too few": (
        "DDPMScheduler",
        "count",
        "self.timesteps = torch.from_numpy(timesteps).to(device)",
        "self.timesteps = torch.from_numpy(timesteps[:-1].copy()).to(device)",
    ),
    "timesteps the other way round": (
        "TCDScheduler",
        "falling",
        "timesteps = tcd_origin_timesteps[inference_indices]",
        "timesteps = tcd_origin_timesteps[inference_indices][::-1].copy()",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_breaks_its_property(fault):
    name, prop, old, new = PLANTED[fault]
    assert tried(name, prop, examples=QUICK).verdict is Verdict.AGREE
    assert tried(name, prop, examples=QUICK, edits=(Replaced(old, new),)).verdict is Verdict.DIVERGE
