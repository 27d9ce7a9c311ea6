#!/bin/bash
# Three seeds of one config, one GPU each, as a Slurm array.
#
#     sbatch deploy/slurm_seeds.sh
#
# Two minutes before the time limit Slurm sends SIGTERM: the run saves and exits with code 0, and the script puts its
# task into the queue again, where it resumes. Preempted and failed nodes are requeued by Slurm itself (--requeue).
#SBATCH --job-name=mai_places2
#SBATCH --array=0-2
#SBATCH --gpus=1 --cpus-per-task=16 --mem=64G --time=24:00:00
#SBATCH --signal=B:TERM@120 --requeue --open-mode=append
set -euo pipefail

run="runs/places2_seed$SLURM_ARRAY_TASK_ID"
mai train --config=places2 --config.seed="$SLURM_ARRAY_TASK_ID" --workdir="$run" &
training=$!
ended_early=
trap 'ended_early=1; kill -TERM "$training"' TERM
wait "$training" || [ -n "$ended_early" ]
if [ -n "$ended_early" ]; then
  wait "$training"
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
