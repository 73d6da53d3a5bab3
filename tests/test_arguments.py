"""Arguments of another kind: over all public functions, one clear error, or an answer."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from numpy.typing import ArrayLike

import diffclaims
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import Seed, check_fields, checked, limit_of
from diffclaims.problem.validate import at_least, increasing
from tests.stress.around import Call
from tests.stress.calls import calls, values
from tests.stress.inputs import is_foreign, outcome

CALLS = {call.name: call for call in calls()}
VALUES = values()
#: Every argument sees so many kinds of value here, and all kinds are seen; with --slow, and in the trials under
#: stress, each argument sees all.
FEW = 5
#: Answered, but in seconds.
LONG = {
    ("advise", "data"),
    ("advise", "weights_search"),
    ("check_subject", "repeat"),
    ("advise", "resamples"),
    ("check", "claims"),
}
#: Of what the API reference shows: not called here, and why.
NOT_CALLED = {
    "finite.score_error": "takes what `finite` draws inside",
    "denoisers.from_diffusers": "needs diffusers; see tests/denoisers",
    "monitor.sinks.log_to": "takes an object of another package; see tests/monitor",
    "plots.": "the others take datasets that commands make; see tests/test_plots.py",
}


def test_every_function_of_the_reference_is_tried():
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    shown = re.findall(
        r"autofunction:: diffclaims\.(\S+)", (Path(__file__).parents[1] / "docs/api.md").read_text()
    )
    tried = {name.rpartition(".")[2] for name in CALLS}
    untold = [n for n in shown if n.rpartition(".")[2] not in tried and not n.startswith(tuple(NOT_CALLED))]
    assert len(shown) > 40
    assert untold == []


@pytest.mark.parametrize("name", CALLS)
def test_what_is_put_in_their_place_is_taken(name):
    assert outcome(CALLS[name].function, dict(CALLS[name].arguments)) == "accepted"


def wrong(name: str, kinds: Callable[[int], list[str]]) -> list[str]:
    call = CALLS[name]
    return [
        f"{argument} = {kind}: {found}"
        for i, argument in enumerate(call.arguments)
        if (name, argument) not in LONG
        for kind in kinds(i)
        if (found := is_foreign(call, argument, VALUES[kind]))
    ]


@pytest.mark.parametrize("name", CALLS)
def test_another_kind_is_one_clear_error(name):
    known, start = list(VALUES), 7 * list(CALLS).index(name)
    few = [[known[(start + FEW * i + j) % len(known)] for j in range(FEW)] for i in range(40)]
    assert wrong(name, few.__getitem__) == []


def test_a_set_names_no_classes():
    with pytest.raises(InvalidInput, match="classes"):
        diffclaims.GaussianMixture([0.4, 0.6], [1.0, 2.0], classes={"a", "b"})
    with pytest.raises(InvalidInput, match="seeds"):
        diffclaims.finite.learning_curves(
            (
                diffclaims.GaussianMixture([1.0], [1.0]),
                diffclaims.RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1),
            ),
            n_dims=12,
            seeds={1, 2},
        )


def test_what_is_not_used_is_looked_at_too():
    mixture = diffclaims.GaussianMixture([0.4, 0.6], [1.5, 0.5])
    model = diffclaims.RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1)
    with pytest.raises(InvalidInput, match="labels must come with x"):
        diffclaims.finite.learning_curves((mixture, model), [1.0], n_dims=12, labels=[0, 1])
    with pytest.raises(InvalidInput, match="betas"):
        diffclaims.finite.descend((mixture, model), 2, n_dims=12, betas=(0.9,))
    with pytest.raises(InvalidInput, match="mass_accuracy must be positive"):
        diffclaims.theory.spectrum(mixture, model, [1.0], bulks=False, mass_accuracy=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_every_kind_is_one_clear_error(name):
    assert wrong(name, lambda _: list(VALUES)) == []


def test_a_function_that_asks_nothing_is_seen():
    def careless(n):
        return [0.0] * n

    found = [is_foreign(Call("careless", careless, {"n": 2}), "n", value) for value in VALUES.values()]
    assert sum(bool(f) for f in found) > 20


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, np.int64(3), -1], [True, 1.0, "1", 10**20, None, np.array([1])]),
        (float, [0, 1.5, np.float32(2), np.array(2.0)], [True, "1", 1j, np.nan, np.inf, 1e308, 1e-300, [1.0]]),
        (bool, [True, np.False_], [0, 1, "yes", None]),
        (str, ["a", ""], [b"a", 1, None]),
        (Literal["a", "b"], ["a"], ["c", ["a"], 1]),
        (int | None, [None, 3], ["3", 2.5]),
        (float | str, ["best", 2.0], [None, [1.0]]),
        (Seed, [0, 7], [-1, 0.5, True]),
        (Annotated[float, at_least(1)] | None, [None, 1], [0.5, "2"]),
        (Sequence[int], [[1, 2], (3,), np.arange(2), range(3)], ["12", 3, [1.5], {"a": 1}]),
        (tuple[str, ...], [("a",), ["b"]], ["ab", [1]]),
        (tuple[float, float], [(1, 2)], [3, "ab"]),
        (Mapping[str, float], [{}, {"a": 1.0}], [{"a": "b"}, {1: 1.0}, [("a", 1.0)]]),
        (Callable[[int], int], [len, int], [3, "len"]),
        (ArrayLike, [[1, 2], 3.0, np.ones(2), ["a"]], [object(), {}, np.ma.masked_array([1], [True])]),
        (ArrayLike | None, [None, [1.0]], [object(), np.ma.masked_array([1], [True])]),
        (str | Path, ["a", Path("b")], [1, None]),
        (diffclaims.GaussianMixture, [diffclaims.GaussianMixture([1.0], [1.0])], [None, [1.0]]),
    ],
)  # fmt: skip
def test_an_annotation_is_a_limit(hint, good, bad):
    limit = limit_of(hint)
    assert all(limit.admits(value) for value in good)
    assert not any(limit.admits(value) for value in bad)


def test_what_has_no_limit_passes():
    assert limit_of(Any) is None
    assert limit_of(Any | None) is None


def test_the_message_names_value_limit_and_fix():
    @checked
    def grow(n: int, rate: float | None = None, how: Literal["fast", "slow"] = "fast") -> int:
        return n

    assert grow(3) == 3
    assert grow(n=3, rate=None) == 3
    with pytest.raises(InvalidInput, match=r"n = 'x': n must be an integer; give a whole number"):
        grow("x")
    with pytest.raises(
        InvalidInput, match=r"rate = inf: rate must be a finite number or None; give 0 or one"
    ):
        grow(3, rate=np.inf)
    with pytest.raises(InvalidInput, match="how must be fast or slow; choose one"):
        grow(3, how="medium")
    with pytest.raises(TypeError, match="missing a required argument: 'n'"):
        grow()


@pytest.mark.parametrize(
    ("positional", "said"),
    [(2, "missing a required (keyword-only )?argument: 'n_dims'"), (3, "too many positional arguments")],
)
def test_a_wrong_list_of_arguments_names_the_function_and_how_it_is_called(positional, said):
    call = r"speciation\(mixture, diffusion_times, \*, n_dims, n_samples=16384, rng=0\)$"
    with pytest.raises(TypeError, match=rf"^speciation: {said}; the call is {call}"):
        diffclaims.theory.speciation(*[None] * positional)


def test_a_wrong_list_of_arguments_of_a_method_shows_those_that_are_given():
    class Tree:
        @checked
        def __init__(self, height: float) -> None:
            self.height = height

        @checked
        def grow(self, by: float = 1.0) -> None:
            self.height += by

    with pytest.raises(TypeError, match=r"^Tree: missing a .*; the call is Tree\(height\)$"):
        Tree()
    with pytest.raises(TypeError, match=r"^Tree.grow: too many .*; the call is Tree.grow\(by=1.0\)$"):
        Tree(1.0).grow(1, 2)


def test_fields_of_a_dataclass_are_held_too():
    @dataclass(frozen=True)
    class Sized:
        size: int
        word: str = ""

        def __post_init__(self) -> None:
            check_fields(self, but=("word",))

    assert Sized(3, word=4).size == 3
    with pytest.raises(InvalidInput, match=r"size = 2.5: size must be an integer"):
        Sized(2.5)


def test_every_public_function_can_be_held_to_its_annotations():
    held = [call.function for call in CALLS.values() if hasattr(call.function, "__wrapped__")]
    assert len(held) > 20
    for function in held:
        hints = typing.get_type_hints(function.__wrapped__, include_extras=True)
        named = {n for n, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}
        assert hints.keys() >= CALLS_OF[function].arguments.keys() & named


CALLS_OF = {call.function: call for call in CALLS.values()}


@pytest.mark.parametrize(
    "value",
    ["x", [], [1, 1], [2, 1], [-1.0], [np.nan], [[1.0]], [1e300], [1e-320], [0, 1e-320], [True], None],
)
def test_times_increase(value):
    with pytest.raises(InvalidInput, match="t must be finite numbers >= 0, in increasing order"):
        increasing("t", value)


def test_times_may_be_one_number_and_start_at_zero():
    assert increasing("t", 3).tolist() == [3.0]
    assert increasing("t", [0, 1]).tolist() == [0.0, 1.0]
    with pytest.raises(InvalidInput, match="above 0"):
        increasing("t", [0, 1], above_zero=True)


def test_what_is_gathered_passes():
    @checked
    def add(*numbers: int, **more: str) -> int:
        return len(numbers) + len(more)

    assert add(1, "2", a=3) == 3


def test_a_call_that_does_not_fit_is_a_type_error_whatever_its_values():
    @checked
    def area(width: Annotated[float, at_least(1)], height: float = 1.0, *, unit: str = "m") -> str:
        return f"{width * height} {unit}"

    assert area(2.0, height=3.0) == "6.0 m"
    for args, named in (((), {}), ((0.0, 1.0, 2.0), {}), ((0.0,), {"width": 1.0}), ((0.0,), {"depth": 1.0})):
        with pytest.raises(TypeError):
            area(*args, **named)
    with pytest.raises(InvalidInput, match="width"):
        area(width=0.0)
    with pytest.raises(InvalidInput, match="unit"):
        area(2.0, unit=3)
