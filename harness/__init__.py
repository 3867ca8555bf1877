"""Check that a ported model computes what its original computes, and what each path costs.

>>> import numpy as np
>>> import harness
>>> result = harness.check(lambda x: np.tanh(x), lambda x: np.tanh(x + 0.1), {"x": np.linspace(-1.0, 1.0, 5)})
>>> result.verdict
<Verdict.DIVERGE: 'diverge'>
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cases.spec import Case, find_cases, read_case
    from harness.errors import HarnessError
    from harness.parity.across import compare_traces
    from harness.parity.case import audit_case, case_sensitivity, check_case
    from harness.parity.check import check
    from harness.parity.compare import Difference, Verdict
    from harness.parity.comparison import Comparison
    from harness.parity.recording import trace
    from harness.parity.sensitivity import Sensitivity, sensitivity
    from harness.settings import Repository, find_repository
    from harness.tokenizers.check import check_tokenizers
    from harness.tokenizers.comparison import TokenizerComparison
    from harness.tokenizers.group import Correction
    from harness.tolerance import Tolerance

_HOMES = {
    "Case": "harness.cases.spec",
    "Comparison": "harness.parity.comparison",
    "Correction": "harness.tokenizers.group",
    "Difference": "harness.parity.compare",
    "HarnessError": "harness.errors",
    "Repository": "harness.settings",
    "Sensitivity": "harness.parity.sensitivity",
    "TokenizerComparison": "harness.tokenizers.comparison",
    "Tolerance": "harness.tolerance",
    "Verdict": "harness.parity.compare",
    "audit_case": "harness.parity.case",
    "case_sensitivity": "harness.parity.case",
    "check": "harness.parity.check",
    "check_case": "harness.parity.case",
    "check_tokenizers": "harness.tokenizers.check",
    "compare_traces": "harness.parity.across",
    "find_cases": "harness.cases.spec",
    "find_repository": "harness.settings",
    "read_case": "harness.cases.spec",
    "sensitivity": "harness.parity.sensitivity",
    "trace": "harness.parity.recording",
}

__all__ = [
    "Case",
    "Comparison",
    "Correction",
    "Difference",
    "HarnessError",
    "Repository",
    "Sensitivity",
    "TokenizerComparison",
    "Tolerance",
    "Verdict",
    "audit_case",
    "case_sensitivity",
    "check",
    "check_case",
    "check_tokenizers",
    "compare_traces",
    "find_cases",
    "find_repository",
    "read_case",
    "sensitivity",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import harness` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
