"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.terminal import ends_quietly, tell
from diffclaims.unet.config import RunConfig, parse_setting
from diffclaims.unet.data.choice import DataConfig
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.data.registry import BUILT_IN, DEFAULT
from diffclaims.unet.train.plan import TrainingPlan
from diffclaims.unet.train.presets import PRESETS, TOY, runs, suiting


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diffclaims.unet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train the runs of a preset, or what is left of them")
    _choice(train)
    train.add_argument(
        "--download", action="store_true", help="fetch the data set's missing files first, where it can"
    )
    _device(train, "the plan's, or cpu")
    # Without a value of their own, so that a plan's holds where nothing is said.
    for option, text in (
        ("--channels-last", "keep the channels innermost (default: yes)"),
        ("--tf32", "train with TF32 products (CUDA)"),
        ("--bf16", "train in bfloat16 with fp32 weights"),
        ("--compile", "compile the training loss and its gradient"),
        ("--cuda-graph", "capture a whole step once and replay it (CUDA)"),
    ):
        train.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
    train.add_argument(
        "--at-once", type=int, metavar="N", help="runs advanced in turn by this process (default: 1)"
    )
    train.add_argument(
        "--keep-snapshots", action="store_true", help="also keep the weights of every snapshot"
    )
    train.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="start no further run after this time"
    )
    train.add_argument("--dry-run", action="store_true", help="print the runs and stop")

    _pilot_options(
        commands.add_parser("pilot", help="measure ways to train a preset here, and plan with the best")
    )

    record = commands.add_parser("record", help="analyse finished runs and write them as recordings")
    _choice(record)
    record.add_argument("--out", type=Path, required=True, help="folder of the files")
    record.add_argument("--sheets", type=Path, help="folder for PNG sheets of samples (needs matplotlib)")
    record.add_argument(
        "--made-by", default="", metavar="COMMAND", help="the training command, kept in the files"
    )

    status = commands.add_parser("status", help="show how far the runs are")
    _choice(status)

    check = commands.add_parser("check", help="send denoisers with known answers through the measurement")
    check.add_argument("--data-dir", help="folder of the data set (default: $DIFFCLAIMS_DATA)")
    check.add_argument("--resolution", type=int, help="side of the images (default: that of the data set)")
    _dataset(check)
    return parser


def _pilot_options(pilot: argparse.ArgumentParser) -> None:
    _preset(pilot, "smoke")
    _device(pilot, "cpu")
    pilot.add_argument(
        "--seconds",
        type=float,
        default=45.0,
        help="time of the pilot; what comes later is skipped (default: 45)",
    )
    pilot.add_argument(
        "--budget", type=float, default=6.0, metavar="MINUTES", help="of the training to plan (default: 6)"
    )
    pilot.add_argument("--data-dir", help="folder of the data set (default: $DIFFCLAIMS_DATA)")
    pilot.add_argument(
        "--at-once", type=int, default=8, metavar="N", help="try up to N models at once (default: 8)"
    )
    pilot.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="also try torch.compile (default: on CUDA only)",
    )
    pilot.add_argument(
        "--toy", action=argparse.BooleanOptionalAction, help="rehearse at toy size (default: on a CPU)"
    )
    pilot.add_argument(
        "--out", type=Path, default=Path("pilot.json"), help="file of all that is found (default: pilot.json)"
    )


def _device(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--device", help=f"cpu, cuda or cuda:N (default: {default})")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's own choice)")


def _preset(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--preset", choices=list(PRESETS), help=f"default: {default}")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this experiment (repeatable)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="override one setting of every run (repeatable); tuples with commas",
    )
    _dataset(parser)


def _dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(BUILT_IN)}, or package.module:OBJECT (default: {DEFAULT})",
    )


def _choice(parser: argparse.ArgumentParser) -> None:
    _preset(parser, "the plan's, or smoke")
    parser.add_argument(
        "--plan", type=Path, metavar="FILE", help="seeds, steps and means of computing from a pilot's file"
    )
    parser.add_argument(
        "--results", type=Path, required=True, help="folder of the runs, shared by all processes"
    )
    parser.add_argument("--data-dir", help="folder of the data set (default: $DIFFCLAIMS_DATA)")
    parser.add_argument("--seeds", type=int, help="seeds of each experiment instead of the preset's")


@ends_quietly
def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 1 something is left or failed, 2 bad input."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "check":
            return _check(args)
        if args.command == "pilot":
            return _pilot(args)
        plan = TrainingPlan.read(args.plan) if args.plan else None
        do = {"train": _train, "record": _record, "status": _status}[args.command]
        return do(args, _chosen(args, plan), plan)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "matplotlib"):
            raise
        extra = "unet" if error.name == "torch" else "plot"
        tell(f"error: this needs {error.name}; install diffclaims[{extra}]")
        return 2
    except DiffclaimsError as error:
        tell(f"error: {error}")
        return 2


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of every run: what suits the data set, and over it what was said."""
    suited = suiting(args.dataset) if args.dataset else {}
    return {**suited, **dict(map(parse_setting, args.settings))}


def _chosen(args: argparse.Namespace, plan: TrainingPlan | None) -> list[RunConfig]:
    settings = _settings(args)
    if plan is None:
        args.preset = args.preset or "smoke"
        return _different(runs(args.preset, only=args.only, seeds=args.seeds, overrides=settings), settings)
    if args.preset not in (None, plan.preset):
        limit = f"be that of the plan, {plan.preset}"
        raise InvalidInput.of("preset", args.preset, limit, "leave it out, or make another plan")
    args.preset = plan.preset
    return _different(plan.runs(only=args.only, seeds=args.seeds, overrides=settings), settings)


def _different(chosen: list[RunConfig], settings: dict[str, Any]) -> list[RunConfig]:
    """Refuse settings that make two experiments of a preset the same, as one pair of classes does to all pairs."""
    names: dict[str, str] = {}
    for config in chosen:
        same = dataclasses.replace(config, name="same").to_json()
        first = names.setdefault(same, config.name)
        if first != config.name:
            limit = f"leave the experiments of a preset different, but {first} and {config.name} would train the same"
            fix = "leave out --dataset or the setting that both have from it, or choose one by --only"
            raise InvalidInput.of("settings", settings, limit, fix)
    return chosen


def _place(args: argparse.Namespace, plan: TrainingPlan | None = None) -> str:
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    device: str = args.device or (plan.device if plan else "cpu")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device


def _pilot(args: argparse.Namespace) -> int:
    from diffclaims.unet.pilot import pilot

    device, preset = _place(args), args.preset or "smoke"
    on_cuda = device.startswith("cuda")
    toy = not on_cuda if args.toy is None else args.toy
    settings = {**(TOY if toy else {}), **_settings(args)}
    wanted = runs(preset, only=args.only, overrides=settings)
    found = pilot(
        wanted,
        wanted[0].data.source.load(args.data_dir),
        args.out,
        preset=preset,
        settings=settings,
        device=device,
        seconds=args.seconds,
        budget=args.budget,
        at_once=args.at_once,
        compiled=on_cuda if args.compile is None else args.compile,
    )
    plan = found["plan"]
    for name, e in plan["experiments"].items():
        print(f"{name:20s} {e['seeds']:3d} seeds of {e['steps']:6d} steps")
    print(f"{plan['why']}; predicted: {plan['predicted_minutes']:.2f} of {args.budget:g} minutes")
    if not plan["enough"]:
        print("not all seeds fit, even at the fewest steps: raise --budget, or choose with --only")
    print(f"next: python -m diffclaims.unet train --plan {args.out} --results RUNS")
    return 0 if plan["enough"] else 1


def _train(args: argparse.Namespace, chosen: list[RunConfig], plan: TrainingPlan | None) -> int:
    if args.dry_run:
        for run in chosen:
            print(json.dumps({"run": run.folder, "key": run.key, **run.to_dict()}))
        return 0
    from diffclaims.unet.model.options import Compute
    from diffclaims.unet.train.campaign import run_campaign

    names = ("channels_last", "tf32", "bf16", "compile", "cuda_graph")
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    options = {**(plan.options if plan else {}), **said}
    compute = Compute(device=_place(args, plan), keep_snapshots=args.keep_snapshots, **options)
    compute.check(chosen)
    at_once = args.at_once if args.at_once is not None else plan.at_once if plan else 1
    source = chosen[0].data.source.load(args.data_dir, download=args.download)
    stop_after = None if args.stop_after is None else 60 * args.stop_after
    done = run_campaign(chosen, source, args.results, compute=compute, at_once=at_once, stop_after=stop_after)
    print(f"{len(done)} of {len(chosen)} runs are done in {args.results}")
    return 0 if len(done) == len(chosen) else 1


def _record(args: argparse.Namespace, chosen: list[RunConfig], plan: TrainingPlan | None) -> int:
    from diffclaims.storage.recordings import record
    from diffclaims.unet.record.analyse import analyse
    from diffclaims.unet.train.run import finished

    found: dict[str, list[Path]] = {}
    for run in chosen:
        raw = finished(args.results / run.folder, run)
        if raw is not None:
            found.setdefault(run.name, []).append(raw)
    if not found:
        tell(f"error: no finished run of preset {args.preset} in {args.results}; train first")
        return 2
    source = chosen[0].data.source.load(args.data_dir)
    by = f"--plan {args.plan.name}" if plan else f"--preset {args.preset}"
    by += f" --dataset {args.dataset}" if args.dataset else ""
    command = args.made_by or f"python -m diffclaims.unet train {by}"
    for name, paths in found.items():
        experiment, datasets = analyse(
            paths,
            source,
            campaign=args.preset,
            command=command,
            cache=args.results / "classifiers",
            sheet=args.sheets and args.sheets / f"{name}.png",
        )
        for dataset in datasets.values():
            path = record(args.out, experiment, dataset, name=name)
            print(f"{path}: {name}, {len(paths)} of {sum(r.name == name for r in chosen)} seeds")
    return 0 if sum(map(len, found.values())) == len(chosen) else 1


def _status(args: argparse.Namespace, chosen: list[RunConfig], plan: TrainingPlan | None) -> int:
    done = 0
    for run in chosen:
        folder = args.results / run.folder
        finished = (folder / "raw.npz").exists()
        done += finished
        step = 0
        log = folder / "status.jsonl"
        if log.exists():
            # A killed writer may leave a last line that is cut off.
            for line in log.read_text().splitlines():
                try:
                    step = json.loads(line)["step"]
                except (ValueError, KeyError):
                    continue
        print(f"{run.folder:30s} {'done' if finished else f'step {step}/{run.optimizer.steps}'}")
    print(f"{done} of {len(chosen)} done")
    return 0 if done == len(chosen) else 1


def _check(args: argparse.Namespace) -> int:
    from diffclaims.unet.measure.checks import planted_checks

    known = {f.name for f in dataclasses.fields(DataConfig)}
    settings = {k: v for k, v in suiting(args.dataset or DEFAULT).items() if k in known}
    if args.resolution is not None:
        settings["resolution"] = args.resolution
    config = DataConfig(**settings)
    source = config.source.load(args.data_dir)
    most = min(int((source.test_labels == config.source.label(c)).sum()) for c in config.classes)
    data = prepare(config, source, seed=0, n_held_out=min(256, most - 5))
    checks = planted_checks(data)
    for c in checks:
        print(f"{'passed' if c.passed else 'FAILED'}  {c.name}: {c.value:.4f} (must be {c.limit})")
    return 0 if all(c.passed for c in checks) else 1
