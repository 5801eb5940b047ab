"""Training: one loop for every model, run folders, checkpoints, progress.

A recipe (`minigen.training.recipes`) makes a `Job` out of `Settings`; `train` runs it in a `Run`
folder, from the beginning or from where the folder's last checkpoint left it.
"""

from minigen.training.job import Job, Settings
from minigen.training.loop import Diverged, Interrupted, make_job, restore, restore_weights, train
from minigen.training.progress import PlainProgress, Progress, RichProgress, Silent, for_terminal
from minigen.training.run import Checkpoint, Run, RunError
