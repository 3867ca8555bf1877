"""No case goes blind quietly: each catches at least the share of planted faults that its file names."""

import pytest


@pytest.mark.slow
@pytest.mark.case("*")
def test_every_case_reaches_its_floor(case):
    from harness import HarnessError, case_sensitivity, find_repository
    from harness.cases.original import require
    from harness.errors import MissingError

    try:
        if case.original is not None:
            require(case.original, place=case.name)
            if case.original.recorded:
                pytest.skip("needs an original that runs: faults are planted beside one, and this is a recording")
    except MissingError as error:
        pytest.skip(error.problem)
    if case.sensitivity is None:
        # Faults can be planted only in a port that is right: a case that is must have a floor.
        with pytest.raises(HarnessError, match="does not agree with its reference as it is"):
            case_sensitivity(case, find_repository(case.file))
        return
    found = case_sensitivity(case, find_repository(case.file))
    assert found.enough, str(found)
