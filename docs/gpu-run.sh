#!/usr/bin/env bash
# A campaign on one GPU, within a time: pilot, training, recording. See docs/unet-run.md.
#
#   bash docs/gpu-run.sh OUT [SECONDS]
#
# OUT gets pilot.json, run.log, recordings.tar.gz and sheets.tar.gz. SECONDS (570) is for all of it. Packages that are
# missing here come from wheels in .whl; the images come from DIFFCLAIMS_DATA, or from .data. TOY=1 rehearses on a CPU.
set -u
python=${PYTHON:-python3}
out=$(mkdir -p "$1" && cd "$1" && pwd) || exit 2
deadline=${2:-570}
cd "$(dirname "$0")/.." || exit 2
work=$(mktemp -d)
runs=$work/runs
trap 'rm -rf "$work"' EXIT
exec > >(tee -a "$out/run.log") 2>&1
say() { echo "[$SECONDS s] $*"; }
unet() { # SECONDS ARGUMENT...: a command that is ended after so many seconds
  local most=$1
  shift
  [ "$most" -gt 0 ] || return 124
  timeout -k 5 "$most" $python -m diffclaims.unet "$@"
}
number() { $python -c "print(round(max(0.0, $1), 2))"; }

site=$work/site
mkdir -p "$site" "$runs"
for wheel in .whl/*.whl; do
  [ -e "$wheel" ] || continue
  name=$(basename "$wheel")
  $python -c 'import importlib.metadata as m, sys; m.version(sys.argv[1])' "${name%%-*}" 2> /dev/null ||
    { say "unpacked: $name" && $python -m zipfile -e "$wheel" "$site"; }
done
export PYTHONPATH=$PWD:$site${PYTHONPATH:+:$PYTHONPATH} DIFFCLAIMS_DATA=${DIFFCLAIMS_DATA:-$PWD/.data}
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${THREADS:-4}

# What is chosen, and by which means it is trained; without a plan few steps, in a way that needs no pilot.
if [ -n "${TOY:-}" ]; then
  reserve=${RESERVE:-90} pilot=30
  asked=(--only balanced-n64 --only swap-n64 --set steps=20)
  means=(--device cpu --at-once 2)
  choice=(--preset smoke)
else
  reserve=${RESERVE:-110} pilot=60
  asked=()
  means=(--device "${DEVICE:-cuda}" --at-once 8)
  choice=(--preset gpu9 --set steps=2000)
fi

say "pilot"
budget=$(number "($deadline - $reserve - $SECONDS - $pilot) / 60")
unet $((2 * pilot + 60)) pilot --preset gpu9 "${asked[@]}" "${means[@]}" --seconds $pilot --budget "$budget" \
  --out "$out/pilot.json"
last=60 least=20
if unet 60 train --plan "$out/pilot.json" --results "$runs" --dry-run > "$work/runs.jsonl"; then
  choice=(--plan "$out/pilot.json") means=()
  last=$($python -c 'import json, sys; print(60 * json.load(open(sys.argv[1]))["plan"]["last_run_minutes"])' \
    "$out/pilot.json")
else
  say "no plan: ${choice[*]}"
  unet 60 train "${choice[@]}" --results "$runs" --dry-run > "$work/runs.jsonl"
fi

say "classifiers, beside the training"
OMP_NUM_THREADS=${THREADS:-8} timeout -k 5 $((deadline - reserve - SECONDS + 20)) $python - "$work/runs.jsonl" "$runs/classifiers" << 'EOF' &
import json, sys
from pathlib import Path
from diffclaims.unet.config import RunConfig
from diffclaims.unet.measure.classifier import train_classifier

found = [RunConfig.from_json(line).data for line in open(sys.argv[1])]
for data in {(d.resolution, d.control): d for d in found}.values():
    print(data.control, train_classifier(data.source.load(), data, cache=Path(sys.argv[2])).accuracy)
EOF
classifiers=$!

# The second try is for what broke in the first: it goes on from the saved states by plainer means.
for try in "" "--no-cuda-graph --no-compile --at-once 2"; do
  left=$((deadline - reserve - SECONDS))
  [ "$left" -gt "$least" ] || break
  stop=$(number "max($left - 1.1 * $last, $left / 2) / 60")
  say "training, for $left s at most; no run starts after $stop minutes"
  unet "$left" train "${choice[@]}" "${means[@]}" $try --results "$runs" --stop-after "$stop" && break
  least=${last%.*}
done

say "recording"
unet 30 status "${choice[@]}" --results "$runs"
wait "$classifiers"
names=$($python -c 'import json, sys
print(*dict.fromkeys(json.loads(line)["name"] for line in open(sys.argv[1])))' "$work/runs.jsonl")
export OMP_NUM_THREADS=${THREADS:-2}
recording=()
for name in $names; do
  unet $((deadline - 10 - SECONDS)) record "${choice[@]}" --only "$name" --results "$runs" --out "$work/recordings" \
    --sheets "$work/sheets" --made-by "bash docs/gpu-run.sh OUT $deadline" &
  recording+=($!)
done
wait "${recording[@]}"
for folder in recordings sheets; do
  [ -d "$work/$folder" ] && tar -czf "$out/$folder.tar.gz" -C "$work" "$folder"
done
ls -l "$out"
say "done: $(ls "$work/recordings" 2> /dev/null | wc -l) recorded files"
[ -f "$out/recordings.tar.gz" ]
