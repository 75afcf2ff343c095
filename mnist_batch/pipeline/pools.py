"""How many actors read and classify, on a CPU each, and how many GPUs a classifier takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mnist_batch.described import described
from mnist_batch.errors import InputError


@dataclass(frozen=True)
class Pools:
    """The number of actors of each kind, None for as many as fit, and the GPUs of each classifier.

    Raises InputError if a value breaks a rule.
    """

    preprocessors: int | None = described(
        None, "actors of Ray that read scans, on a CPU each", left_out="half of the CPUs", metavar="N"
    )
    classifiers: int | None = described(
        None, "actors of Ray that classify and write, on a CPU each", left_out="half of the CPUs", metavar="N"
    )
    gpus_per_classifier: float = described(
        0, "GPUs of each classifier, such as 0.5; --engine onnx needs onnxruntime-gpu for it", metavar="N"
    )

    def __post_init__(self) -> None:
        for flag, value in (("--preprocessors", self.preprocessors), ("--classifiers", self.classifiers)):
            if value is not None and value < 1:
                raise InputError(f"{flag} is {value}; it has to be at least 1")
        gpus = self.gpus_per_classifier
        if not 0 <= gpus < 2**31 or (gpus > 1 and gpus != int(gpus)):
            raise InputError(
                f"--gpus-per-classifier is {gpus:g}; it has to be a share, from 0 to 1, or a number of whole GPUs"
            )

    def fitted(self, resources: Mapping[str, float], shards: int) -> "Pools":
        """The pools with both numbers set: by default half of the CPUs each, and at most one actor per shard.

        ``resources`` are those of the cluster, as Ray names them. Raises InputError if they are too few.
        """
        cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
        half = max(1, int(cpus) // 2)
        fitting = max(half, int(cpus) - half)
        if self.gpus_per_classifier:
            fitting = min(fitting, max(1, int(gpus / self.gpus_per_classifier)))
        preprocessors = min(self.preprocessors or half, shards)
        classifiers = min(self.classifiers or fitting, shards)
        if preprocessors + classifiers > cpus:
            raise InputError(
                f"--preprocessors {preprocessors} and --classifiers {classifiers} take a CPU each, but the cluster "
                f"has {cpus:g}; lower them, or add CPUs (at least 2)"
            )
        needed = classifiers * self.gpus_per_classifier
        if needed > gpus:
            raise InputError(
                f"--classifiers {classifiers} with --gpus-per-classifier {self.gpus_per_classifier:g} take {needed:g} "
                f"GPUs, but the cluster has {gpus:g}; lower one of them"
            )
        return replace(self, preprocessors=preprocessors, classifiers=classifiers)
