"""Images become the same pixels in originals and in the image processors of transformers, or it is known why not."""

from pathlib import Path

import pytest

from harness.adapters.source import Replaced
from harness.equivalence.corrections import edits, read_corrections
from harness.errors import MissingError
from harness.parity.compare import Verdict
from harness.register import applies, read_register

FIXTURES = Path(__file__).parents[2] / "fixtures"
CORRECTIONS = read_corrections(FIXTURES / "end_to_end" / "corrections")
ROWS = [row for row in read_register(FIXTURES / "register") if row.area == "end-to-end" and "test_images" in row.proof]
SLOW = {
    **{name: ["sizes", "margins", "flat", "kinds", "palette", "transparent"] for name in ("clip", "open-clip")},
    "vit": ["sizes", "flat"],
    "deit": ["sizes"],
    "convnext": ["sizes", "margins", "flat"],
    "resnet": ["margins", "flat"],
    "sam": ["sizes", "flat"],
}
CLAIMS = [pytest.param(name, "slow", check, id=f"{name}-slow-{check}") for name in SLOW for check in SLOW[name]] + [
    pytest.param(name, "fast", check, id=f"{name}-fast-{check}")
    for name in SLOW
    for check in SLOW[name]
    if check != "flat"
]


@pytest.fixture(autouse=True)
def _needs():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("PIL")


def compared(*which):
    """What a claim came to, if what it needs is here."""
    from fixtures.end_to_end.preprocessing import preprocessed

    try:
        return preprocessed(*which)
    except MissingError as error:
        pytest.skip(error.problem)


@pytest.mark.parametrize(("name", "side", "check"), CLAIMS)
def test_pixels_are_the_originals(name, side, check, answers):
    answers(compared(name, side, check))


@pytest.mark.parametrize("name", SLOW)
def test_recipe_is_the_originals(name):
    """What stands for an original where it is not installed gives its pixels, for every image of the suite."""
    from fixtures.end_to_end.images import PAIRS
    from fixtures.end_to_end.preprocessing import by_recipe

    try:
        for check in PAIRS[name].checks():
            outcome = by_recipe(name, check)
            assert outcome.verdict is Verdict.AGREE, str(outcome)
    except MissingError as error:
        pytest.skip(error.problem)


def test_every_image_is_in_a_group():
    from fixtures.end_to_end.images import FLAT, KINDS, PAIRS, SIZES

    for name, pair in PAIRS.items():
        known = pair.checks()
        assert set(SLOW[name]) <= set(known)
        every = {image for check in known.values() for image in check}
        assert every == {*SIZES, *FLAT, *(KINDS if pair.modes else ())}


SUBJECTS = [
    # OpenCLIP's is CLIP's once more, and those at their full size take longer.
    pytest.param(
        row, each, id=f"{row.id}-{each}", marks=[pytest.mark.slow] * each.startswith(("open", "deit", "resnet"))
    )
    for row in ROWS
    for each in row.subjects
]


@pytest.mark.parametrize(("row", "subject"), SUBJECTS)
def test_a_correction_makes_the_pixels_agree(row, subject):
    from harness.adapters.transformers.corrected import corrected

    if not applies(row):
        pytest.skip(f"the row holds for {dict(row.applies_to)}")
    pair, _, check = subject.partition(".")
    name, _, side = pair.rpartition("-")
    compared(name, side, check)  # loads what is corrected, or skips
    ids = [each.id for each in ROWS if subject in each.subjects]
    with corrected(edits(CORRECTIONS, ids)):
        outcome = compared(name, side, check)
    assert outcome.verdict is Verdict.AGREE, str(outcome)
    with corrected(edits(CORRECTIONS, [each for each in ids if each != row.id])):
        assert compared(name, side, check).verdict is Verdict.DIVERGE


def test_the_subject_of_every_row_is_claimed():
    claimed = {f"{name}-{side}.{check}" for name, side, check in (each.values for each in CLAIMS)}
    assert ROWS
    assert {subject for row in ROWS for subject in row.subjects} <= claimed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_says_where_its_correction_is(row):
    from harness.adapters.transformers.corrected import line_of

    if not applies(row):
        pytest.skip(f"the row holds for {dict(row.applies_to)}")
    first = next(each for each in CORRECTIONS if each.id == row.id)
    file, _, line = row.where.rpartition(":")
    assert file == f"transformers/{first.module.replace('.', '/')}.py"
    assert abs(int(line) - line_of(first.module, first.old)) <= 5, line_of(first.module, first.old)


CLIP, TRANSFORMS = "models.clip.image_processing_clip", "image_transforms"
RESIZED = "image.resize((width, height), resample=resample, reducing_gap=reducing_gap)"
FAULTS = {
    "crop off by one": (
        TRANSFORMS,
        "left = (orig_width - crop_width) // 2",
        "left = (orig_width - crop_width + 2) // 2",
    ),
    "blue first": (CLIP, "[to_numpy_array(image) for image in", "[to_numpy_array(image)[..., ::-1] for image in"),
    "no antialias": (
        TRANSFORMS,
        RESIZED,
        "image.transform((width, height), 0, (image.width / width, 0, 0, 0, image.height / height, 0), resample)",
    ),
    "another filter": (TRANSFORMS, RESIZED, "image.resize((width, height), resample=2)"),
    "length rounded": (
        TRANSFORMS,
        "int(requested_new_short * long / short)",
        "round(requested_new_short * long / short)",
    ),
    "levels up to 256": (CLIP, "rescale_factor: Union[int, float] = 1 / 255,", "rescale_factor: float = 1 / 256,"),
    "mean of ImageNet": (CLIP, "else OPENAI_CLIP_MEAN", "else [0.485, 0.456, 0.406]"),
    "edges in the other order": (
        CLIP,
        "            default_to_square = False\n",
        "            default_to_square = True\n",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault):
    from harness.adapters.transformers.corrected import corrected

    module, old, new = FAULTS[fault]
    assert compared("clip", "slow", "sizes").verdict is Verdict.AGREE
    with corrected({module: [Replaced(old, new)]}):
        outcome = compared("clip", "slow", "sizes")
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)
    assert outcome.reason
    assert compared("clip", "slow", "sizes").verdict is Verdict.AGREE


def test_transparency_put_on_white_is_caught():
    from PIL import Image

    from fixtures.end_to_end.images import PAIRS, image
    from harness.end_to_end.outcome import Step, of_arrays
    from harness.end_to_end.pixels import pixels

    recipe = PAIRS["sam"].recipe
    drawn = image("transparent")
    white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
    ours, theirs = pixels(drawn, recipe), pixels(white, recipe)
    assert of_arrays(Step("sam", "transparent", "", "", ""), ours, theirs, ours).verdict is Verdict.DIVERGE
