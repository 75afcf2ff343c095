"""The trainer of Ray Train as it is needed here, and how its workers find each other.

Ray Train's own ``TensorflowConfig`` does the same, but its package imports TensorFlow, which the driver and the
controller would wait for and never use, and it sets TF_USE_LEGACY_KERAS in the workers.
"""

import json
import os
import socket
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer


class Trainer(DataParallelTrainer):
    """Ray Train's, but an interrupt is left to the job, and no actor asks Ray's dashboard every second.

    That actor removes the workers of a training that the dashboard does not know, and asks another Ray if there is
    one on this machine. It is meant for controllers that die while their job goes on; here a job ends with its
    training, and Ray frees its resources. Without a dashboard the actor makes each training end seconds later.
    """

    def _create_default_callbacks(self) -> list[Any]:
        return [
            one for one in super()._create_default_callbacks() if not isinstance(one, PlacementGroupCleanerCallback)
        ]

    def _register_sigint_handler(self, controller: Any) -> None:
        """Ray Train's handler would wait for the training to stop, and end the process as if all were well."""


@dataclass
class TensorflowWorkers(BackendConfig):
    """Tell workers each other's addresses in TF_CONFIG, from which ``MultiWorkerMirroredStrategy`` reads them."""

    @property
    def backend_cls(self) -> type[Backend]:
        """The backend that Ray Train calls when the workers have started."""
        return _Introduction


class _Introduction(Backend):
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:  # noqa: ARG002
        addresses = worker_group.execute(_address)
        ranks = range(len(worker_group))
        ray.get([worker_group.execute_single_async(rank, _introduce, addresses, rank) for rank in ranks])


def _address() -> str:
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


def _introduce(addresses: list[str], rank: int) -> None:
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
