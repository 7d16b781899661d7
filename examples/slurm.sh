#!/bin/bash
# A training on 4 machines of 8 devices each: sbatch slurm.sh my.yaml
#SBATCH --job-name=tinyrefinery
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail
# One process per device. A job that is requeued resumes from the last checkpoint.
srun --kill-on-bad-exit=1 python -m tinyrefinery run "${1:?name a recipe}" --runs runs
