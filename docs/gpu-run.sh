#!/usr/bin/env bash
# A campaign on one GPU, within a time: pilot, training, recording. See docs/unet-run.md.
#
#   bash docs/gpu-run.sh OUT [SECONDS]
#   PRESET=pairs PILOT=0 bash docs/gpu-run.sh OUT 258
#
# OUT gets pilot.json, run.log, recordings.tar.gz, sheets.tar.gz and, up to 60 MiB, the runs as measured, in parts:
# cat runs.tar.* | tar -x. SECONDS (570) is for all of it. PRESET (gpu9) is the campaign, ONLY="NAME..." some of its
# experiments; PILOT=0 trains it as it stands, without a pilot. Packages that are missing here come from wheels in .whl;
# the images come from DIFFCLAIMS_DATA, or from .data. TOY=1 rehearses on a CPU.
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
preset=${PRESET:-gpu9} last=60 least=20 only=() planned=
for name in ${ONLY:-}; do only+=(--only "$name"); done
if [ -n "${TOY:-}" ]; then
  reserve=${RESERVE:-90} pilot=30
  asked=(--only balanced-n64 --only swap-n64 --set steps=20)
  means=(--device cpu --at-once 2)
  choice=(--preset smoke)
else
  reserve=${RESERVE:-110} pilot=60
  asked=("${only[@]}")
  means=(--device "${DEVICE:-cuda}" --at-once 8)
  choice=(--preset "$preset" --set steps=2000)
fi
if [ "${PILOT:-1}" = 0 ]; then
  reserve=${RESERVE:-45} last=25
  choice=(--preset "$preset")
  if [ -n "${TOY:-}" ]; then
    choice+=(--set steps=30 --set width=8 --set n_eval=16)
  else # what was fastest in float32 on the GPU that was measured
    means+=(--cuda-graph --no-channels-last)
  fi
else
  say "pilot"
  budget=$(number "($deadline - $reserve - $SECONDS - $pilot) / 60")
  unet $((2 * pilot + 60)) pilot --preset "$preset" "${asked[@]}" "${means[@]}" --seconds $pilot --budget "$budget" \
    --out "$out/pilot.json"
  unet 60 train --plan "$out/pilot.json" --results "$runs" --dry-run > "$work/runs.jsonl" && planned=1
fi
if [ -n "$planned" ]; then
  choice=(--plan "$out/pilot.json") means=() only=()
  last=$($python -c 'import json, sys; print(60 * json.load(open(sys.argv[1]))["plan"]["last_run_minutes"])' \
    "$out/pilot.json")
else
  say "no plan: ${choice[*]} ${only[*]} ${means[*]}"
  unet 60 train "${choice[@]}" "${only[@]}" --results "$runs" --dry-run > "$work/runs.jsonl"
fi

say "classifiers, beside the training"
OMP_NUM_THREADS=${THREADS:-8} timeout -k 5 $((deadline - reserve - SECONDS + 20)) $python - "$work/runs.jsonl" "$runs/classifiers" << 'EOF' &
import json, sys
from pathlib import Path
from diffclaims.unet.config import RunConfig

found = [RunConfig.from_json(line) for line in open(sys.argv[1])]
drawn = [r.data for r in found if r.sample.sample_at or r.sample.uturn_at]
for data in {(d.resolution, d.control): d for d in drawn}.values():
    from diffclaims.unet.measure.classifier import train_classifier
    print(data.control, train_classifier(data.source.load(), data, cache=Path(sys.argv[2])).accuracy)
EOF
classifiers=$!

# The second try is for what broke in the first: it goes on from the saved states by plainer means.
for try in "" "--no-cuda-graph --no-compile --at-once 2"; do
  left=$((deadline - reserve - SECONDS))
  [ "$left" -gt "$least" ] || break
  stop=$(number "max($left - 1.1 * $last, $left / 2) / 60")
  say "training, for $left s at most; no run starts after $stop minutes"
  unet "$left" train "${choice[@]}" "${only[@]}" "${means[@]}" $try --results "$runs" --stop-after "$stop" && break
  least=${last%.*}
done

say "recording"
unet 30 status "${choice[@]}" "${only[@]}" --results "$runs" | tail -n 100
# The measurements as they are, where they are small: what fails from here on can be done again from them.
(cd "$runs" && find . -name raw.npz -o -name config.json) | tar -cf "$work/runs.tar" -C "$runs" -T -
[ "$(stat -c %s "$work/runs.tar")" -gt $((60 << 20)) ] || split -b 15M "$work/runs.tar" "$out/runs.tar."
wait "$classifiers"
names=($($python -c 'import json, sys
print(*dict.fromkeys(json.loads(line)["name"] for line in open(sys.argv[1])))' "$work/runs.jsonl"))
# A process a core, each with its share of the experiments: most of a short recording is starting it.
parts=$($python -c 'import os, sys; print(min(15, os.cpu_count(), int(sys.argv[1])))' ${#names[@]})
export OMP_NUM_THREADS=${THREADS:-$((parts > 6 ? 1 : 2))}
recording=()
for ((part = 0; part < parts; part++)); do
  share=()
  for ((i = part; i < ${#names[@]}; i += parts)); do share+=(--only "${names[i]}"); done
  unet $((deadline - 10 - SECONDS)) record "${choice[@]}" "${share[@]}" --results "$runs" --out "$work/recordings" \
    --sheets "$work/sheets" --made-by "${PRESET:+PRESET=$PRESET }${PILOT:+PILOT=$PILOT }bash docs/gpu-run.sh OUT $deadline" &
  recording+=($!)
done
wait "${recording[@]}"
for folder in recordings sheets; do
  [ -d "$work/$folder" ] && tar -czf "$out/$folder.tar.gz" -C "$work" "$folder"
done
ls -l "$out"
say "done: $(ls "$work/recordings" 2> /dev/null | wc -l) recorded files"
[ -f "$out/recordings.tar.gz" ]
