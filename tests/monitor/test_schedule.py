"""Which steps are measured under which budget, by a clock that the test turns."""

from __future__ import annotations

import itertools

import pytest

from diffclaims.monitor.schedule import GRID, Account, Schedule


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(steps, step_cost, losses, budget=0.05, samples=None, every=1):
    """Train, and return the schedule, the steps that were measured and those with samples."""
    clock = Clock()
    schedule = Schedule(Account(budget, clock))
    measured, sampled = [], []
    for step in range(0, steps, every):
        if schedule.due(step):
            costs = {"losses": losses}
            if samples is not None and schedule.samples_due():
                costs["samples"] = samples
                sampled.append(step)
            clock.now += sum(costs.values())
            schedule.measured(step, **costs)
            measured.append(step)
        clock.now += step_cost * every
    return schedule, measured, sampled


def test_without_limit_the_whole_grid_is_measured():
    schedule, measured, sampled = run(1000, 1.0, 1e-3, budget=1.0, samples=1e-3)
    assert measured == [int(s) for s in GRID if s < 1000]
    assert sampled == measured[3::4]
    assert schedule.left_out == []


@pytest.mark.parametrize("losses", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("samples", [None, 100.0])
def test_the_budget_is_kept(losses, samples):
    """In the end; the first measurements are on credit."""
    schedule, measured, sampled = run(30000, 0.5, losses, samples=samples)
    assert schedule.account.share <= 0.05
    assert len(measured) >= 10
    assert bool(sampled) == (samples is not None)


def test_no_time_is_set_aside_for_samples_that_are_switched_off():
    """Every step of the grid is measured that losses alone can pay for."""

    def steps(with_samples):
        clock = Clock()
        schedule, measured = Schedule(Account(0.05, clock)), []
        for step in range(3000):
            if schedule.due(step):
                measured.append(step)
                clock.now += 2.0
                schedule.with_samples = with_samples
                schedule.measured(step, losses=2.0)
            clock.now += 1.0
        assert schedule.account.share <= 0.05
        return measured, schedule

    (without, schedule), (set_aside, _) = steps(False), steps(True)
    assert len(without) > len(set_aside)
    late = {int(s) for s in GRID if 400 < s < 3000}
    assert late <= set(without)
    assert not late <= set(set_aside)
    again = Schedule(Account(0.05, Clock()))
    again.restore(without[-1], schedule.state())
    assert not again.with_samples


def test_measure_says_whether_samples_are_switched_off(tmp_path):
    torch = pytest.importorskip("torch")
    from diffclaims import Monitor, denoisers

    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    monitor = Monitor(tmp_path, train=x[:10], held_out=x[10:], clock=Clock())
    denoiser = denoisers.from_x0(lambda x, sigma: x / 2)
    for step, samples in ((0, False), (1, None), (2, False)):
        monitor.measure(step, denoiser, samples=samples)
        assert monitor.state_dict()["schedule"]["with_samples"] is (samples is None)


def test_the_first_measurements_are_not_lost():
    """Each costs as much as 100 steps: one for each doubling of the time until the account has paid for them."""
    schedule, measured, _ = run(5000, 1.0, 100.0)
    assert measured[0] == 0
    assert len(measured) >= 5
    assert all(b - a >= 100 for a, b in itertools.pairwise(measured))
    assert schedule.left_out
    assert not set(schedule.left_out) & set(measured)


def test_a_step_that_cannot_be_paid_is_measured_later():
    _, measured, _ = run(20000, 1.0, 50.0)
    grid = {int(s) for s in GRID}
    late = [s for s in measured if s not in grid]
    assert late
    assert all(max(g for g in grid if g <= s) not in measured for s in late)


def test_steps_that_nobody_asked_about_were_not_left_out():
    schedule, measured, _ = run(1000, 1.0, 1e-3, every=100)
    assert measured == [0, 100, 200, 300, 400, 600, 700, 800]
    assert schedule.left_out == []


def test_a_restored_schedule_goes_on():
    whole, measured, _ = run(3000, 1.0, 20.0, samples=40.0)
    clock = Clock()
    first = Schedule(Account(0.05, clock))
    first.restore(measured[-1], whole.state())
    assert first.account.spent == whole.account.spent
    assert first.left_out == whole.left_out
    assert not first.due(measured[-1])
    assert abs(first.account.elapsed - whole.account.elapsed) < 1e-9
    clock.now += 10
    assert abs(first.account.elapsed - whole.account.elapsed - 10) < 1e-9
