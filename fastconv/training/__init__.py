"""Training: the loop, whole runs by recipe, checkpoints, and reports with pictures.

The heavy parts (tqdm, safetensors, matplotlib) are imported where they are used.
"""

from fastconv.training.checkpoint import Classifier, load_checkpoint, save_checkpoint
from fastconv.training.evaluation import Evaluation, evaluate, predict
from fastconv.training.recipe import WEIGHTS_FILE, Recipe, Run, train_classifier
from fastconv.training.report import text_report, write_report
from fastconv.training.trainer import EpochRecord, FitResult, Trainer

__all__ = [
    "WEIGHTS_FILE",
    "Classifier",
    "EpochRecord",
    "Evaluation",
    "FitResult",
    "Recipe",
    "Run",
    "Trainer",
    "evaluate",
    "load_checkpoint",
    "predict",
    "save_checkpoint",
    "text_report",
    "train_classifier",
    "write_report",
]
