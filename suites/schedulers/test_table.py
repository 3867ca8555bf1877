"""The table is whole: every scheduler of the library has a row or a reason, every documented sampler is there."""

import pytest

DOCUMENTED = """
DPM++ 2M, DPM++ 2M Karras, DPM++ 2M SDE, DPM++ 2M SDE Karras, DPM++ 2S a, DPM++ 2S a Karras, DPM++ SDE,
DPM++ SDE Karras, DPM2, DPM2 Karras, DPM2 a, DPM2 a Karras, DPM adaptive, DPM fast, Euler, Euler a, Heun, LMS,
LMS Karras
"""
"""The samplers of the table in the documentation of diffusers, "Schedulers", besides DEIS and UniPC."""


def test_documented_samplers_come_first(table):
    wanted = [name.strip() for name in DOCUMENTED.replace("\n", " ").split(",")]
    found = [row.sampler for row in table.row if "(" not in row.sampler]
    assert found[: len(wanted)] == wanted


def test_every_scheduler_has_a_row_or_a_reason(table):
    from harness.adapters.diffusers.copies import scheduler_names

    rows = {row.scheduler for row in table.row}
    reasons = [name for each in table.without for name in each.schedulers]
    known = {name for name in scheduler_names() if not name.startswith("Flax")}
    assert set(reasons) | rows - {""} == known
    assert not rows & set(reasons)


def test_every_member_of_the_karras_schedulers_has_a_row(table):
    schedulers = pytest.importorskip("diffusers.schedulers")
    members = {each.name for each in schedulers.KarrasDiffusionSchedulers}
    assert len(members) == 15
    assert members <= {row.scheduler for row in table.row}
