"""qcow2-fsck over a tree: what it finds, remembers, leaves and carries on."""
import json
import os
import shutil
import signal
import stat
import subprocess
import unittest

from jsonschema import Draft202012Validator

import fleet


class ManyImagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = fleet.scratch()
        fleet.corpus(cls.tree)
        # Takes seconds, and is in every run below.
        shutil.rmtree(os.path.join(cls.tree, "snapshot-table-too-large"))
        with open("docs/report.schema.json", encoding="utf-8") as file:
            cls.schema = Draft202012Validator(json.load(file))

    def setUp(self):
        self.state = os.path.join(fleet.scratch(), "state")

    def run_ndjson(self, *arguments):
        """Reports, summary and exit code of a run over the tree."""
        result = fleet.fsck(
            "--recursive", "--output=ndjson", *arguments, self.tree
        )
        reports, summary = fleet.lines(result.stdout)
        return reports, summary, result.returncode

    def test_every_image_is_reported_once_with_its_damage(self):
        reports, summary, code = self.run_ndjson("--deep")
        found = fleet.paths(reports)
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual(summary["images"]["checked"], len(found))
        self.assertEqual(summary["images"]["found"], len(found))
        self.assertEqual(summary["end"], "complete")
        self.assertEqual(code, 12)
        seen = set()
        for report in reports:
            name = os.path.basename(os.path.dirname(report["image"]["path"]))
            if os.path.basename(report["image"]["path"]) != f"{name}.qcow2":
                continue  # a companion of the image
            seen.add(name)
            expected = fleet.expected_of(name)
            self.assertEqual(report["status"], expected["status"], name)
        # Without the magic nothing tells that a file is an image. Each of them
        # is named instead.
        missing = set(os.listdir(self.tree)) - seen
        for name in missing:
            expected = fleet.expected_of(name)
            codes = {problem["code"] for problem in expected["problems"]}
            self.assertTrue(
                codes & {"header-magic", "header-truncated", "header-overwritten"}
                or name.startswith("header-"),
                name,
            )
        self.assertLess(len(missing), 6)

    def test_the_reports_fit_the_schema(self):
        for output in ("json", "ndjson"):
            result = fleet.fsck("--recursive", f"--output={output}", self.tree)
            documents = (
                [json.loads(result.stdout)]
                if output == "json"
                else [json.loads(line) for line in result.stdout.splitlines()]
            )
            for document in documents:
                errors = [error.message for error in self.schema.iter_errors(document)]
                self.assertEqual(errors, [])

    def test_people_see_damage_and_a_summary(self):
        result = fleet.fsck("--recursive", self.tree)
        self.assertNotIn(": clean: no problems found", result.stdout)
        self.assertIn("sample-damaged.qcow2: CORRUPT", result.stdout)
        self.assertIn("\nTo look at, the worst first:\n", result.stdout)
        self.assertTrue(result.stdout.endswith(".\n"))

    def test_a_list_keeps_its_order(self):
        names = ["sample-damaged", "bitmap-extension-none", "backing-cycle"] * 5
        images = [os.path.join(self.tree, name, f"{name}.qcow2") for name in names]
        result = fleet.fsck("--output=ndjson", "--jobs=8", *images)
        reports, summary = fleet.lines(result.stdout)
        self.assertEqual([report["image"]["path"] for report in reports], images)
        self.assertIsNone(summary)

    def test_a_killed_run_is_carried_on(self):
        # Slow enough to be killed in the middle: the state is a second old.
        arguments = ["--recursive", "--output=ndjson", "--jobs=2"]
        arguments += [f"--state={self.state}", self.tree]
        with subprocess.Popen(
            [fleet.FSCK, "--max-rate=300K", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            first = []
            # The second write comes about a second after the first.
            while self.remembered() < 5:
                first.append(json.loads(process.stdout.readline()))
            process.kill()
            first += [json.loads(line) for line in process.stdout.read().splitlines()]
        remembered = self.remembered()
        result = fleet.fsck(*arguments)
        rest, summary = fleet.lines(result.stdout)
        self.assertEqual(summary["images"]["earlier"], remembered)
        self.assertEqual(summary["images"]["checked"], len(rest))
        both = set(fleet.paths(first)) | set(fleet.paths(rest))
        everything, _, _ = self.run_ndjson()
        self.assertEqual(sorted(both), fleet.paths(everything))
        self.assertLess(len(rest), len(everything))

    def remembered(self):
        """How many images the state file knows."""
        try:
            with open(self.state, encoding="utf-8") as file:
                return json.loads(file.read().splitlines()[-1])["images"]
        except FileNotFoundError:
            return 0

    def test_a_stopped_run_says_so_and_is_carried_on(self):
        arguments = ["--recursive", "--output=ndjson", f"--state={self.state}"]
        with subprocess.Popen(
            [fleet.FSCK, "--max-rate=20K", *arguments, self.tree],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            begun = process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
        self.assertEqual(process.returncode & 32, 32)
        first, summary = fleet.lines(begun + rest)
        self.assertEqual(summary["end"], "cancelled")
        self.assertGreater(summary["images"]["left"], 0)
        second, summary = fleet.lines(fleet.fsck(*arguments, self.tree).stdout)
        self.assertEqual(summary["images"]["earlier"], len(first))
        self.assertEqual(set(fleet.paths(first)) & set(fleet.paths(second)), set())
        self.assertEqual(len(first) + len(second), summary["images"]["found"])

    def test_no_image_begins_when_the_time_is_up(self):
        budget = "--time-budget=0s"
        reports, summary, code = self.run_ndjson(budget, f"--state={self.state}")
        self.assertEqual((reports, code), ([], 0))
        self.assertEqual(summary["end"], "time-budget")
        self.assertEqual(summary["images"]["left"], summary["images"]["found"])

    def test_the_one_checked_longest_ago_comes_first(self):
        _, summary, _ = self.run_ndjson(f"--state={self.state}")
        with open(self.state, encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        # As if the last by name had been checked first of all.
        entries[-2]["checked"] = 1000
        path = entries[-2]["path"]
        with open(self.state, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)
        reports, again, _ = self.run_ndjson(f"--state={self.state}", "--jobs=1")
        self.assertEqual(reports[0]["image"]["path"], path)
        self.assertEqual(again["images"]["checked"], summary["images"]["checked"])

    def test_the_metrics_have_all_images_of_the_fleet(self):
        metrics = os.path.join(fleet.scratch(), "fsck.prom")
        _, summary, _ = self.run_ndjson(f"--state={self.state}", "--time-budget=1d")
        # A night that comes to no image.
        _, night, _ = self.run_ndjson(
            f"--state={self.state}", "--time-budget=0", f"--metrics={metrics}"
        )
        self.assertEqual(night["images"]["checked"], 0)
        with open(metrics, encoding="utf-8") as file:
            samples = dict(
                line.rsplit(" ", 1) for line in file if not line.startswith("#")
            )
        for status, count in summary["by_status"].items():
            name = f'qcow2_fsck_fleet_images{{status="{status}"}}'
            self.assertEqual(int(samples[name]), count)
        for key in ("corruptions", "leaks", "leaked_bytes", "suspect_orphans"):
            total = int(samples[f"qcow2_fsck_fleet_{key}"])
            self.assertEqual(total, summary["counts"][key])
        left = int(samples["qcow2_fsck_run_images_left"])
        self.assertEqual(left, summary["images"]["found"])
        successes = [
            int(value)
            for name, value in samples.items()
            if name.startswith("qcow2_fsck_last_success_timestamp_seconds{")
        ]
        self.assertEqual(len(successes), summary["images"]["found"])
        self.assertEqual(
            successes.count(0),
            summary["by_status"]["error"] + summary["by_status"]["inconclusive"],
        )

    def test_the_state_is_private_and_judged(self):
        self.run_ndjson(f"--state={self.state}", "--time-budget=0")
        mode = stat.S_IMODE(os.stat(self.state).st_mode)
        self.assertEqual(mode, 0o600)
        with open(self.state, "a", encoding="utf-8") as file:
            file.write("{}\n")
        result = fleet.fsck("--recursive", f"--state={self.state}", self.tree)
        self.assertEqual(result.returncode, 8)
        self.assertEqual(result.stdout, "")
        self.assertIn("the state file", result.stderr)
        self.assertEqual(os.listdir(os.path.dirname(self.state)), ["state"])

    def test_a_header_that_went_is_missed(self):
        folder = fleet.scratch()
        image = os.path.join(folder, "disk")
        name = "sample-damaged"
        fleet.copy_sparse(os.path.join(self.tree, name, f"{name}.qcow2"), image)
        arguments = ["--recursive", "--output=ndjson", f"--state={self.state}", folder]
        fleet.fsck(*arguments)
        with open(image, "r+b") as file:
            file.write(bytes(512))
        reports, _ = fleet.lines(fleet.fsck(*arguments).stdout)
        self.assertEqual([report["status"] for report in reports], ["corrupt"])

    def test_many_images_are_for_checks_only(self):
        for arguments in (
            ["--repair", "--recursive"],
            ["--undo", f"--state={self.state}"],
            ["--exclude=x"],
            ["--newer-than=1d"],
            ["--recursive", "--newer-than=soon"],
            ["--recursive", "--time-budget=1x"],
            ["--recursive", "--max-rate=1"],
        ):
            result = fleet.fsck(*arguments, self.tree)
            self.assertEqual(result.returncode, 16, arguments)


if __name__ == "__main__":
    unittest.main()
