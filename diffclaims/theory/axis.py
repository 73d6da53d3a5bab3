"""The resolvent on the real axis itself, by continuation from above.

Far above the axis the equations are easy; each further step towards it starts Newton's method from
the last solution. The final step is taken at exactly zero distance, so that nothing is smoothed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.theory.newton import newton
from diffclaims.theory.outcome import Diagnosis, SolverOutcome
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.state import State

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Numbers = NDArray[Any]

#: Factors by which a continuation step lowers the distance from the axis, one for each attempt.
STRIDES = (10.0, 2.2, 1.4)
#: Relative mismatch at which a step of the continuation ends.
COARSE = 1e-4
#: Distance, relative to the eigenvalue, from which the last step goes to the axis itself.
LAST = 1e-5
#: At a spectral edge the imaginary part is a root of the residual: below zero by this, relatively, is rounding.
EDGE = 1e-5
#: Imaginary parts below this, relative to the modulus, are rounding.
ROUNDING = 1e-9
#: Up to here, relative to the modulus, they may be the work of an edge.
DOUBTFUL = 1e-3
#: Newton's last step may change the unknowns by this, relatively: after a continuation, and from a guess, which is
#: less near but where solutions that pass for the physical one are farther apart than that.
LEAP, GUESSED = 0.05, 0.3
#: Relative difference below which two solutions are one.
SAME = 1e-4
#: Steps of Newton's method from a guess that need not halve the residual.
PATIENCE = 2


class Guess(NamedTuple):
    """Unknowns at N eigenvalues, made of solutions at such distances from them."""

    unknowns: Complex  # (N, r + K)
    distance: Floats  # (N,)


def solve_on_axis(
    equations: Equations,
    eigenvalues: Floats,
    *,
    tolerance: float = 1e-10,
    throw: bool = True,
    guess: Guess | None = None,
) -> tuple[State, Diagnosis]:
    """Return the resolvent at ``lambda + i0`` for each eigenvalue.

    Parameters
    ----------
    equations : Equations
    eigenvalues : ndarray, shape (N,)
        Real, positive.
    tolerance : float
        Largest relative mismatch of the equations.
    throw : bool
        Whether to raise `SolveFailed` if some point has no solution.
    guess : Guess, optional
        Where the first continuation begins, in place of far above. What does not lead to the physical solution
        costs time, not accuracy: it is continued from there after all.

    Returns
    -------
    state : State
        Unknowns at the N points; exactly real outside the support.
    diagnosis : Diagnosis

    Raises
    ------
    InvalidInput
        For eigenvalues that are not positive: the continuation would never end.
    """
    if not (eigenvalues > 0).all():
        raise InvalidInput.of("eigenvalues", float(np.min(eigenvalues)), "be positive", "U has no others")
    state, size, good, total = _descend(equations, eigenvalues, STRIDES[0], tolerance, guess)
    todo = np.flatnonzero(~good)
    for stride in STRIDES if guess else STRIDES[1:]:
        if todo.size == 0:
            break
        again, again_size, fine, steps = _descend(equations, eigenvalues[todo], stride, tolerance)
        total += steps
        before = state.take(todo)
        state = state.put(todo, again)
        size[todo], good[todo] = again_size, fine
        # What comes back to the same is not to be had by shorter steps.
        same = np.maximum(_change(before.y, again.y), _change(before.delta, again.delta)) < SAME
        todo = todo[~(fine | same)]
    outcome = SolverOutcome.CONVERGED if good.all() else SolverOutcome.WRONG_BRANCH
    if not (size <= tolerance).all():
        outcome = SolverOutcome.MAX_STEPS
    diagnosis = Diagnosis(outcome=outcome, residual=float(np.max(size)), steps=total)
    if throw:
        diagnosis.require("the resolvent on the real axis")
    return state, diagnosis


def from_guess(
    equations: Equations, eigenvalues: Floats, guess: Complex, *, tolerance: float = 1e-10
) -> tuple[State, Floats, NDArray[np.bool_], int]:
    """Try to solve at eigenvalues from unknowns close to the solution, shape (N, r + K).

    Returns
    -------
    state : State
    residual : ndarray, shape (N,)
    good : ndarray, shape (N,)
        Whether that is the physical solution.
    steps : int
    """
    with np.errstate(all="ignore"):
        return _land(equations, eigenvalues, guess, tolerance, GUESSED, max_steps=6, patience=PATIENCE)


def _descend(
    equations: Equations, eigenvalues: Floats, stride: float, tolerance: float, guess: Guess | None = None
) -> tuple[State, Floats, NDArray[np.bool_], int]:
    """One continuation of all points together; says for each whether it ended on the physical branch."""
    height = 4.0 * np.maximum(eigenvalues, equations.highest() / 50)
    # A delta peak sits at the noise floor of a neuron type: next to it the last step must be shorter.
    floors = equations.neurons.s2 @ equations.mixture.weights
    to_peak = np.abs(eigenvalues[:, None] - floors).min(axis=1)
    floor = np.maximum(np.minimum(LAST * eigenvalues, 0.01 * to_peak), 1e-12 * eigenvalues)
    factor, strayed = np.full(eigenvalues.size, stride), np.zeros(eigenvalues.size, dtype=bool)
    if guess is None:
        z: Complex = eigenvalues + 1j * height
        y, delta = equations.damped(z, *equations.start(z), 8)
        state, _, total = newton(equations, z, y, delta, tolerance=COARSE, max_steps=20)
    else:
        # As far above the axis as what it comes from is beside. Off the axis there is one physical solution.
        height = np.minimum(height, np.maximum(guess.distance, 10 * floor))
        z = eigenvalues + 1j * height
        with np.errstate(all="ignore"):
            state, size, total = newton(
                equations,
                z,
                *_split(equations, guess.unknowns),
                tolerance=COARSE,
                max_steps=10,
                patience=PATIENCE,
            )
        strayed[:] = True
        factor[~((size <= COARSE) & (state.q.imag > 0).all(axis=1))] = 1.0
    last = np.concatenate([state.y, state.delta], axis=1)
    # With one type of neurons the noise floor may be a pole of the resolvent.
    pole = equations.lowest() if equations.neurons.n_types == 1 else 0.0
    # From infinity, where the resolvent is -1/z and delta goes with it.
    before: Complex = np.asarray(last / 4, dtype=complex)
    z_before = 4 * z
    with np.errstate(all="ignore"):
        while True:
            active = np.flatnonzero((height > floor) & (factor > 1.01))
            if active.size == 0:
                break
            low = np.maximum(height[active] / factor[active], floor[active])
            at = eigenvalues[active] + 1j * low
            near = _power(z_before[active] - pole, before[active], z[active] - pole, last[active], at - pole)
            near[strayed[active]] = last[active[strayed[active]]]
            new, size, steps = newton(equations, at, *_split(equations, near), tolerance=COARSE, max_steps=5)
            total += steps
            good = (size <= COARSE) & _physical(new)
            done = active[good]
            z_before[done], before[done] = z[done], last[done]
            z[done], height[done] = at[good], low[good]
            last[done] = np.concatenate([new.y, new.delta], axis=1)[good]
            # A point that failed tries a shorter step, and keeps to it.
            factor[active[~good]] = np.sqrt(factor[active[~good]])
            strayed[active] = ~good
        state, size, good, steps = _land(equations, eigenvalues, last, tolerance, LEAP, max_steps=40)
    return state, size, good & (height <= floor), total + steps


def _power(z0: Complex, u0: Complex, z1: Complex, u1: Complex, z: Complex) -> Complex:
    """Unknowns at z if they are powers of it between z0 and z1. Next to the axis that is a straight line."""
    exponent = np.log(z / z1) / np.log(z1 / z0)
    ratio = np.where((u0 == 0) | (u1 == 0), 1.0, u1 / u0)
    return np.asarray(u1 * np.exp(np.log(ratio) * exponent[:, None]))


def _land(
    equations: Equations,
    eigenvalues: Floats,
    guess: Complex,
    tolerance: float,
    largest: float,
    *,
    max_steps: int,
    patience: int | None = None,
) -> tuple[State, Floats, NDArray[np.bool_], int]:
    """Go from a guess close by to the axis itself; says for each point whether that is the physical solution."""
    y, delta = _split(equations, guess)
    z: Complex = eigenvalues.astype(complex)
    state, size, steps = newton(
        equations, z, y, delta, tolerance=tolerance, max_steps=max_steps, patience=patience
    )
    # Newton may leap to another solution; the physical one moves by the root of the distance.
    leap = np.maximum(_change(y, state.y), _change(delta, state.delta))
    state = _settle(equations, _mirrored(equations, state), tolerance)
    good = (leap < largest) & (size <= tolerance) & _physical(state) & _increasing(equations, state)
    return state, size, good, steps


def _split(equations: Equations, unknowns: Numbers) -> tuple[Numbers, Numbers]:
    """Unknowns y and delta of all unknowns."""
    return unknowns[:, : equations.rank], unknowns[:, equations.rank :]


def _change(before: Complex, after: Complex) -> Floats:
    return np.asarray(np.abs(after - before).max(axis=1) / (np.abs(before).max(axis=1) + 1e-300))


def _physical(state: State) -> NDArray[np.bool_]:
    """Whether the resolvent of every neuron lies in the upper half plane, up to rounding."""
    size = np.abs(state.q)
    return np.asarray((state.q.imag >= -EDGE * size).all(axis=1) & np.isfinite(size).all(axis=1))


def _increasing(equations: Equations, state: State) -> NDArray[np.bool_]:
    """Whether a real solution is the Stieltjes transform: those increase outside the support.

    Several real solutions may exist there, and only this one continues into the upper half plane.
    Points inside the support pass.
    """
    outside = np.flatnonzero(~state.q.imag.any(axis=1))
    ok = np.ones(state.z.size, dtype=bool)
    if outside.size == 0:
        return ok
    part = state.take(outside).real()
    # The equations depend on z through q alone: d image / dz at fixed unknowns is E q^2 (p, v2).
    push = part.q**2 @ equations.weighted_cross
    push[:, equations.rank :] /= equations.model.psi_n
    slope = equations.step(part, push)[:, equations.rank :]
    ok[outside] = (slope >= 0).all(axis=1)
    return ok


def _mirrored(equations: Equations, state: State) -> State:
    """Return the upper one of each pair of conjugate solutions.

    On the axis the conjugate of a solution is a solution too, and next to an edge, where the two
    meet, Newton's method may end on either.
    """
    lower = np.flatnonzero(state.q.imag @ equations.neurons.weight < 0)
    return state.put(lower, state.take(lower).conjugate()) if lower.size else state


def _settle(equations: Equations, state: State, tolerance: float) -> State:
    """Make the solutions outside the support exactly real.

    Away from the edges their imaginary parts are rounding. Next to an edge the equations are nearly
    singular, and what Newton's method leaves is larger than that and would look like a faint density:
    there a real solution close by decides.
    """
    rest = np.maximum(_imaginary(state.y), _imaginary(state.delta))
    nearly = np.flatnonzero((rest > 0) & (rest <= ROUNDING))
    doubtful = np.flatnonzero((rest > ROUNDING) & (rest <= DOUBTFUL))
    if doubtful.size:
        part = state.take(doubtful)
        trial, size, _ = newton(
            equations,
            part.z.real,
            part.y.real,
            part.delta.real,
            tolerance=tolerance,
            max_steps=15,
            patience=0,
        )
        near = np.maximum(_change(part.y, trial.y), _change(part.delta, trial.delta)) <= 10 * DOUBTFUL
        fine = near & (size <= tolerance) & _increasing(equations, trial)
        state = state.put(doubtful[fine], trial.take(np.flatnonzero(fine)))
    if nearly.size:
        part = state.take(nearly).real()
        state = state.put(nearly, equations.state(part.z, part.y, part.delta))
    return state


def _imaginary(x: Complex) -> Floats:
    return np.asarray(np.abs(x.imag).max(axis=1) / (np.abs(x).max(axis=1) + 1e-300))
