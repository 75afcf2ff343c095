"""Every private name of Ray that the project relies on exists, and takes what it is given.

Ray keeps no promise about them: after an upgrade this file fails first, and says which.
"""

import ast
import inspect
from importlib import import_module, metadata
from typing import Any

import pytest

from tests.support import ROOT

FOLDERS = ("jobs", "mnist_batch", "tests", "benchmarks")
PIN = "2.60.0"
# What is imported, or reached, by its module; the last column is its parameters, or a part of them, as we rely on them.
RELIED_ON: list[tuple[str, str, set[str] | None]] = [
    # jobs/cluster.py: a Ray of a job's own, and where the cluster of a machine is
    ("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", None),
    (
        "ray._private.parameter",
        "RayParams",
        {"dashboard_agent_listen_port", "session_name", "no_monitor", "include_log_monitor"},
    ),
    ("ray._private.services", "get_ray_address_from_environment", {"addr", "temp_dir"}),
    ("ray._private.node", "Node.start_api_server", {"self", "include_dashboard", "raise_on_failure"}),
    # learning/ray_train.py: a trainer that leaves an interrupt to the job
    ("ray.train.v2._internal.callbacks.placement_group_callback", "PlacementGroupCleanerCallback", set()),
    ("ray.train.v2.api.data_parallel_trainer", "DataParallelTrainer._create_default_callbacks", {"self"}),
    ("ray.train.v2.api.data_parallel_trainer", "DataParallelTrainer._register_sigint_handler", {"self", "controller"}),
    # tests
    ("ray._private.state", "actors", set()),
    ("ray.autoscaler._private.util", "prepare_config", {"config"}),
    ("ray.autoscaler._private.util", "validate_config", {"config"}),
    ("ray.train.v2._internal.exceptions", "UserExceptionWithTraceback", {"exc", "traceback_str"}),
]


def named(module: str, name: str) -> Any:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("module", "name", "parameters"), RELIED_ON, ids=[name for _, name, _ in RELIED_ON])
def test_a_private_name_of_ray_is_there_with_the_parameters_relied_on(
    module: str, name: str, parameters: set[str] | None
) -> None:
    found = named(module, name)
    if parameters is None:
        assert not callable(found)
        return
    taken = inspect.signature(found).parameters
    assert parameters <= set(taken)
    if name != "RayParams":  # of which the others keep their defaults
        required = {
            one.name
            for one in taken.values()
            if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        }
        assert required <= parameters


def test_what_the_private_names_do_is_as_it_was_understood() -> None:
    """Ray is started through the names that ``jobs.cluster`` replaces, and an error of a worker keeps its cause."""
    import ray._private.worker as worker
    from ray._private import node, ray_constants

    start = inspect.getsource(worker.init)
    assert "ray._private.parameter.RayParams(" in start
    assert '"_temp_dir"' in start
    assert "self.start_api_server(" in inspect.getsource(node.Node)
    assert ray_constants.ENABLE_RAY_CLUSTER is True  # on Linux; switched off by replacing it
    mistake = ValueError("no")
    wrapped = named("ray.train.v2._internal.exceptions", "UserExceptionWithTraceback")(mistake, "a trace")
    assert wrapped._base_exc is mistake  # where jobs.session looks for it


def test_the_list_above_has_every_private_import_of_ray_and_its_pin() -> None:
    listed = {(module, name.partition(".")[0]) for module, name, _ in RELIED_ON}
    modules = {module for module, _ in listed}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if path.name == "test_ray_private.py":
            continue
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("ray"):
                if any(part.startswith("_") for part in str(statement.module).split(".")):
                    for alias in statement.names:
                        whole = f"{statement.module}.{alias.name}"
                        assert whole in modules or (statement.module, alias.name) in listed, (path, whole)
            elif isinstance(statement, ast.Import):
                private = [one.name for one in statement.names if one.name.startswith("ray.") and "._" in one.name]
                assert private == [], path
    assert f"ray[data,default,train]=={PIN}" in (ROOT / "pyproject.toml").read_text()
    assert metadata.version("ray") == PIN, "read what CONTRIBUTING.md says of Ray, try it, then write the version here"
