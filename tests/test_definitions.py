"""Claims under every definition of a time."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims.api.claim import load_claims
from diffclaims.cli import main
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.storage import paths as locate
from diffclaims.studies import definitions
from diffclaims.subjects import registry
from diffclaims.subjects.contract import check_subject


def load(name):
    return registry.load(registry.find(name, registry.registered(locate.baselines_dir(), [])))


@pytest.fixture(scope="module")
def campaign():
    return load("unet-cpu")


@pytest.fixture(scope="module")
def groups(campaign):
    return definitions.redefined(campaign)


def test_every_definition_of_the_recording_heads_a_column(groups):
    assert [s.title for s in groups["tau_gen"]] == ["iso_0.8", "excess_0.2", "init_0.9", "absolute"]
    assert [s.title for s in groups["tau_mem"]][:2] == ["gap_0.25", "gap_0.1"]
    assert [s.title for s in groups["U-turns"]] == ["first snapshot", "later snapshot"]


def test_a_redefined_subject_keeps_the_contract(groups):
    for subjects in groups.values():
        for subject in subjects:
            check_subject(subject)


def test_the_definition_is_put_where_claims_look(campaign, groups):
    experiment = campaign.experiments()["balanced-n64"]
    plain = campaign.learning_curves(experiment)["tau_gen_by_definition"]
    for subject in groups["tau_gen"]:
        found = subject.learning_curves(experiment)["tau_gen_by_definition"].isel(gen_definition=0)
        xr.testing.assert_equal(
            found.drop_vars("gen_definition"),
            plain.sel(gen_definition=subject.title).drop_vars("gen_definition"),
        )


def test_a_definition_that_a_recording_does_not_state_is_not_measured():
    plain = xr.Dataset({"tau": ("gen_definition", [1.0])}, {"gen_definition": ["iso_0.8"]})
    with pytest.raises(NotMeasured, match="states no time by 'absolute'"):
        definitions.first("gen_definition", "absolute")(plain)


def test_the_later_snapshot_takes_the_place_of_the_first(campaign, groups):
    experiment = campaign.experiments()["balanced-n64"]
    plain = campaign.speciation(experiment, ())
    late = groups["U-turns"][1].speciation(experiment, ())
    for name in ("return_probability", "commitment", "return_probability_stderr"):
        np.testing.assert_array_equal(late[name], plain[f"late_{name}"])
        assert not np.array_equal(late[name], plain[name])


def test_the_main_definition_gives_the_verdict_of_the_claim(campaign, groups):
    claims = [c for c in load_claims() if c.id == "variance-order"]
    _, main_rows = definitions.judge(claims, [campaign])
    _, rows = definitions.judge(claims, groups["tau_gen"][:1])
    assert [(r.case, r.value, r.outcome) for r in rows] == [(r.case, r.value, r.outcome) for r in main_rows]


def test_a_definition_can_change_a_verdict(groups):
    claims = [c for c in load_claims() if c.id == "imbalance-reversal"]
    columns, rows = definitions.judge(claims, groups["tau_gen"])
    by_column = {
        k.title: {r.outcome for r in rows if r.subject == k.name and r.role == "regime"} for k in columns
    }
    assert by_column["iso_0.8"] == {"holds"}
    assert by_column["init_0.9"] == {"inconclusive"}


def test_copies_are_compared_where_there_are_two_classes(campaign):
    found = definitions.copies(campaign)
    names = {name for name, _ in found}
    assert "balanced-n64" in names
    assert "ten-n64" not in names
    curves = campaign.learning_curves(campaign.experiments()["balanced-n64"])
    last = curves["copied_fraction"].isel(sample_time=-1).sel(sampler="heun")
    difference = last.sel({"class": "Bag"}) - last.sel({"class": "Trouser"})
    effect = next(e for name, e in found if name == "balanced-n64" and "heun" in e.name)
    assert effect.value == pytest.approx(float(difference.median("seed")), rel=1e-5)


def test_a_subject_without_definitions_of_its_own_is_refused():
    with pytest.raises(InvalidInput, match="state times by definitions of its own"):
        definitions.redefined(load("finite"))


def test_the_command_prints_a_grid_for_each(capsys):
    assert (
        main(["definitions", "unet-cpu", "--claim", "minority-speciation", "--claim", "variance-order"]) == 0
    )
    out = capsys.readouterr().out
    assert "tau_gen, by definition" in out
    assert "later snapshot" in out
    assert "invalid" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["theory"], "state times by definitions"),
        (["unet-cpu", "--claim", "nothing"], "be one of bias"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    assert main(["definitions", *words]) == 2
    assert message in capsys.readouterr().err
