"""The manifests' container commands, run as written, do what one run does; and
what the two manifests have to agree on, and what a pod must not do."""
import datetime
import os
import shutil
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, "tests/fleet")
import fleet  # noqa: E402

BASE = "packaging/kubernetes/base"


def manifest(name):
    with open(f"{BASE}/{name}.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def job_of(cron_job):
    return cron_job["spec"]["jobTemplate"]["spec"]


def container_of(cron_job):
    (container,) = job_of(cron_job)["template"]["spec"]["containers"]
    return container


def environment_of(container):
    return {entry["name"]: entry["value"] for entry in container["env"]}


class Pod:
    """A container's command with its environment; volumes are folders here."""

    def __init__(self, cron_job, **volumes):
        container = container_of(cron_job)
        self.command = container["command"]
        self.environment = environment_of(container)
        for name, folder in volumes.items():
            # That the variable is where the volume is mounted is tested below.
            assert name in self.environment, name
            self.environment[name] = folder
        self.environment["PATH"] = (
            os.path.dirname(fleet.FSCK) + ":/usr/bin:/bin"
        )

    def run(self, **more):
        return subprocess.run(
            self.command, env={**self.environment, **more}, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )


def run_folder(reports):
    (name,) = os.listdir(reports)
    datetime.date.fromisoformat(name)
    return os.path.join(reports, name)


class CommandsTest(unittest.TestCase):
    def setUp(self):
        self.images = fleet.scratch()
        self.reports = fleet.scratch()
        self.check = manifest("check")
        self.merge = manifest("merge")

    def run_shards(self):
        pod = Pod(self.check, IMAGES=self.images, REPORTS=self.reports)
        return [
            pod.run(JOB_COMPLETION_INDEX=str(index))
            for index in range(job_of(self.check)["completions"])
        ]

    def run_merge(self):
        return Pod(self.merge, REPORTS=self.reports).run()

    def test_the_shards_and_their_merge_are_one_run(self):
        fleet.corpus(self.images)
        single = fleet.fsck("--recursive", "--output=ndjson", self.images)
        expected, summary = fleet.lines(single.stdout)
        before = datetime.date.today()
        statuses = [shard.returncode for shard in self.run_shards()]
        # Neither damage nor images that cannot be checked make a pod start again.
        self.assertEqual(statuses, [0] * len(statuses))
        merged = self.run_merge()
        if datetime.date.today() != before:
            self.skipTest("midnight passed")
        self.assertEqual(merged.returncode, single.returncode, merged.stderr)
        self.assertIn("images", merged.stdout)
        with open(f"{run_folder(self.reports)}/all.ndjson", encoding="utf-8") as file:
            reports, merged_summary = fleet.lines(file.read())
        self.assertEqual(fleet.by_path(reports), fleet.by_path(expected))
        for part in (summary, merged_summary):
            part.pop("seconds")
        self.assertEqual(merged_summary, summary)

    def test_damage_is_the_merge_s_to_tell(self):
        for name in "abcdefgh":
            fleet.clean_image(f"{self.images}/{name}.qcow2")
        fleet.plant_leak(f"{self.images}/c.qcow2")
        for shard in self.run_shards():
            self.assertEqual(shard.returncode, 0, shard.stderr)
        self.assertEqual(self.run_merge().returncode, 4)

    def test_a_shard_that_is_missing_is_told(self):
        fleet.clean_image(f"{self.images}/a.qcow2")
        self.run_shards()
        os.unlink(f"{run_folder(self.reports)}/shard-2.ndjson")
        self.assertEqual(self.run_merge().returncode & 8, 8)

    def test_a_folder_that_is_not_there_fails_the_merge(self):
        shutil.rmtree(self.images)
        for shard in self.run_shards():
            self.assertEqual(shard.returncode, 0, shard.stderr)
        self.assertEqual(self.run_merge().returncode, 8)

    def test_a_shard_without_a_whole_report_fails(self):
        stand_ins = fleet.scratch()
        program = os.path.join(stand_ins, "qcow2-fsck")
        for script, status in (("exit 0", 8), ("echo '{'; kill -9 $$", 137),
                               ("echo '{\"summary\":{}}'; exit 40", 40)):
            with open(program, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n{script}\n")
            os.chmod(program, 0o755)
            pod = Pod(self.check, IMAGES=self.images, REPORTS=self.reports)
            shard = pod.run(JOB_COMPLETION_INDEX="0", PATH=f"{stand_ins}:/usr/bin:/bin")
            self.assertEqual(shard.returncode, status, script)


class ManifestsTest(unittest.TestCase):
    def setUp(self):
        self.cron_jobs = [manifest("check"), manifest("merge")]

    def test_both_know_how_many_shards_there_are(self):
        shards = {
            environment_of(container_of(job))["SHARDS"] for job in self.cron_jobs
        }
        job = job_of(self.cron_jobs[0])
        self.assertEqual(shards, {str(job["completions"])})
        self.assertEqual(job["completionMode"], "Indexed")

    def test_the_merge_begins_when_no_shard_runs_any_more(self):
        def minutes(cron_job):
            minute, hour, *days = cron_job["spec"]["schedule"].split()
            self.assertEqual(days, ["*", "*", "*"])
            return int(hour) * 60 + int(minute)

        check, merge = self.cron_jobs
        last = (
            check["spec"]["startingDeadlineSeconds"]
            + job_of(check)["activeDeadlineSeconds"]
        ) // 60
        self.assertLess(minutes(check) + last, minutes(merge))

    def test_variables_name_the_mounts(self):
        for cron_job in self.cron_jobs:
            container = container_of(cron_job)
            mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
            environment = environment_of(container)
            for name, path in mounts.items():
                self.assertEqual(environment[name.upper()], path)

    def test_images_are_read_only_and_pods_have_no_rights(self):
        spec = job_of(self.cron_jobs[0])["template"]["spec"]
        (mount,) = [
            m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "images"
        ]
        self.assertTrue(mount["readOnly"])
        (volume,) = [v for v in spec["volumes"] if v["name"] == "images"]
        self.assertTrue(volume["persistentVolumeClaim"]["readOnly"])
        for cron_job in self.cron_jobs:
            spec = job_of(cron_job)["template"]["spec"]
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            security = container_of(cron_job)["securityContext"]
            self.assertIs(security["allowPrivilegeEscalation"], False)
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})


if __name__ == "__main__":
    unittest.main()
