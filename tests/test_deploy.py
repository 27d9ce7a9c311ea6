"""The files of deploy/ parse, and the commands in them are those of this version."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from mai_jax.cli import config_argument
from mai_jax.cli.main import parser_of

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


def load_config(arguments: list[str]):
    """Return the config of the arguments of `mai`, whose flags must exist."""
    assert arguments[0] == "train"
    return config_argument.load(parser_of("train").parse(arguments[1:]))


def command(script: str) -> list[str]:
    """Return the arguments of the only `mai` command of a shell script."""
    (found,) = re.findall(r"^(?:exec )?mai ((?:.*\\\n)*[^&\n]*)", script, re.MULTILINE)
    return shlex.split(found.replace("\\\n", ""))


def test_the_jobset_trains_on_one_slice():
    jobset = yaml.safe_load(read("gke_jobset.yaml"))
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert "kueue.x-k8s.io/queue-name" in jobset["metadata"]["labels"]
    (job,) = jobset["spec"]["replicatedJobs"]
    hosts, pod = job["template"]["spec"], job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    config = load_config(container["args"])
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    chips = container["resources"]["limits"]["google.com/tpu"] * hosts["parallelism"]
    assert rows * columns == chips and hosts["completions"] == hosts["parallelism"]
    assert config.batch_size % chips == 0 and config.dtype == "bfloat16"
    (volume,) = pod["volumes"]
    (mount,) = container["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert all(mount["mountPath"] in argument for argument in container["args"][-2:])


def test_the_skypilot_task_keeps_its_run_in_the_bucket():
    task = yaml.safe_load(read("skypilot.yaml"))
    assert task["resources"]["use_spot"] and "[gpu]" in task["setup"]
    arguments = command(task["run"])
    assert load_config(arguments).data.train.startswith("/mnt/bucket/")
    assert list(task["file_mounts"]) == ["/mnt/bucket"] and arguments[-1].startswith("--workdir=/mnt/bucket/")


def test_the_image_starts_the_command_without_a_shell():
    instructions = [line.split(maxsplit=1) for line in read("Dockerfile").splitlines() if line and line[0] != "#"]
    assert instructions[0][0] == "FROM" and instructions[-1] == ["ENTRYPOINT", '["mai"]']
    assert ["USER", "1000"] in instructions
    hadolint = shutil.which("hadolint")
    if hadolint:
        subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=True)


@pytest.mark.parametrize(("code", "signalled", "requeued"), [(0, False, False), (1, False, False), (0, True, True)])
def test_the_slurm_script_requeues_what_the_time_limit_ended(tmp_path, code, signalled, requeued):
    script = read("slurm_seeds.sh")
    config = load_config([argument.replace("$SLURM_ARRAY_TASK_ID", "2") for argument in command(script)[:3]])
    assert config.seed == 2
    programs = {
        "mai": "#!/bin/bash\ntrap 'kill %1; exit 0' TERM\ntouch started\n"
               f"sleep {20 if signalled else 0} &\nwait\nexit {code}\n",
        "scontrol": '#!/bin/bash\necho "$@" > requeued\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "2",
                                "SLURM_ARRAY_JOB_ID": "77"}  # fmt: skip
    process = subprocess.Popen(["bash", DEPLOY / "slurm_seeds.sh"], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 20
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if signalled:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == code
    assert (tmp_path / "requeued").exists() == requeued
    if requeued:
        assert (tmp_path / "requeued").read_text() == "requeue 77_2\n"
