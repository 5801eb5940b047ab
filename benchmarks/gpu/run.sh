#!/usr/bin/env bash
# Everything that needs a GPU, in one command and under 8 minutes: benchmarks/gpu/run.sh [FOLDER]
# Correctness first, then ratios to cuBLAS, torch's attention and torch's training steps. What fails
# is reported and does not stop the rest; the exit status says whether anything did.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-benchmarks/results/gpu}
mkdir -p "$out"
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS=0 CUPY_TF32=0
failed=0

part() {  # part SECONDS NAME COMMAND...: run one part, its output into a log and onto the screen
  local limit=$1 name=$2 began=$SECONDS
  shift 2
  echo "== $name"
  timeout "$limit" "$@" 2>&1 | tee "$out/$name.log" || { failed=1; echo "!! $name failed"; }
  echo "== $name: $((SECONDS - began)) s"
}

part 150 correct "$python" -m pytest -q -n auto -p no:benchmark tests/gpu
part 170 steps "$python" benchmarks/gpu/steps.py --out "$out"
part 80 attention "$python" benchmarks/gpu/attention_variants.py "$out/attention.json"
part 80 matmul "$python" benchmarks/gpu/matmul_variants.py "$out/matmul.json"
part 60 precision "$python" benchmarks/gpu/precision.py --seeds 0 1 2 --out "$out"
part 80 crossovers "$python" benchmarks/gpu/crossovers.py --out "$out"
exit $failed
