"""The array job on a Slurm of one node, started for the test.

Needs Debian's slurm-wlm and munge. Their daemons run as whoever runs the test,
on ports and in folders of their own."""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, "tests/fleet")
import fleet  # noqa: E402

SCRIPTS = os.path.abspath("packaging/slurm")
DEADLINE_SECONDS = 240

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4096 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """munged, slurmctld and slurmd, as long as the context lasts."""

    def __init__(self):
        # Short: the path of a socket has room for a hundred characters.
        self.folder = tempfile.mkdtemp(prefix="slurm", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.processes = []
        self.environment = dict(
            os.environ,
            SLURM_CONF=os.path.join(self.folder, "slurm.conf"),
            PATH=os.path.dirname(fleet.FSCK) + ":/usr/sbin:/usr/bin:/sbin:/bin",
        )

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        for name in ("state", "spool"):
            os.mkdir(os.path.join(self.folder, name))
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        with open(self.environment["SLURM_CONF"], "w", encoding="utf-8") as file:
            file.write(
                CONFIGURATION.format(
                    host=socket.gethostname().split(".")[0],
                    user=user,
                    folder=self.folder,
                    controller=free_port(),
                    daemon=free_port(),
                )
            )
        key = os.path.join(self.folder, "munge.key")
        with open(key, "wb") as file:
            file.write(os.urandom(128))
        os.chmod(key, 0o400)
        self.run(
            "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )
        self.wait_for(lambda: os.path.exists(f"{self.folder}/munge.socket"))
        self.run("slurmctld", "-D")
        self.run("slurmd", "-D")
        self.wait_for(lambda: "idle" in self.output("sinfo", "-h", "-o", "%t"))

    def run(self, *command):
        with open(os.path.join(self.folder, "output"), "ab") as log:
            self.processes.append(
                subprocess.Popen(
                    command, env=self.environment, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log,
                )
            )

    def output(self, *command):
        return subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        ).stdout

    def wait_for(self, done):
        end = time.monotonic() + DEADLINE_SECONDS
        while not done():
            if time.monotonic() > end:
                self.print_logs()
                raise TimeoutError("Slurm did not come to what was waited for")
            time.sleep(0.2)

    def print_logs(self):
        for name in ("output", "munged.log", "slurmctld.log", "slurmd.log"):
            with contextlib.suppress(OSError):
                with open(os.path.join(self.folder, name), encoding="utf-8",
                          errors="replace") as file:
                    print(f"--- {name}\n{file.read()[-4000:]}")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class SlurmTest(unittest.TestCase):
    def test_an_array_job_finds_what_one_run_finds(self):
        images = fleet.scratch()
        fleet.corpus(images)
        reports = os.path.join(fleet.scratch(), "not/there/yet")
        single = fleet.fsck("--recursive", "--output=ndjson", images)
        expected, summary = fleet.lines(single.stdout)
        with Cluster() as cluster:
            run = cluster.output(f"{SCRIPTS}/submit.sh", reports, images).strip()
            self.assertTrue(os.path.isdir(run), run)
            self.assertEqual(os.path.dirname(run), os.path.realpath(reports))
            cluster.wait_for(lambda: not cluster.output("squeue", "-h").strip())
            state = cluster.output("scontrol", "-o", "show", "jobs")
            for shard in range(4):
                with open(f"{run}/shard-{shard}.ndjson", encoding="utf-8") as file:
                    part, _ = fleet.lines(file.read())
                self.assertGreater(len(part), len(expected) // 10)
            with open(f"{run}/all.ndjson", encoding="utf-8") as file:
                merged, merged_summary = fleet.lines(file.read())
        self.assertEqual(fleet.by_path(merged), fleet.by_path(expected))
        for part in (summary, merged_summary):
            part.pop("seconds")
        self.assertEqual(merged_summary, summary)
        with open(f"{run}/all.txt", encoding="utf-8") as file:
            self.assertIn("images", file.read())
        # The merge has the exit code of the single run.
        merge = [line for line in state.splitlines() if "qcow2-fsck-merge" in line]
        self.assertEqual(len(merge), 1, state)
        self.assertIn(f"ExitCode={single.returncode}:0", merge[0])

    def test_a_shard_that_fails_is_told(self):
        images = fleet.scratch()
        fleet.clean_image(os.path.join(images, "a.qcow2"))
        reports = fleet.scratch()
        with Cluster() as cluster:
            run = cluster.output(
                f"{SCRIPTS}/submit.sh", reports, images, images + "/nowhere"
            ).strip()
            cluster.wait_for(lambda: not cluster.output("squeue", "-h").strip())
            state = cluster.output("scontrol", "-o", "show", "jobs")
        failed = [line for line in state.splitlines() if "JobState=FAILED" in line]
        self.assertGreaterEqual(len(failed), 2, state)
        self.assertTrue(os.path.exists(f"{run}/all.ndjson"))


if __name__ == "__main__":
    unittest.main()
