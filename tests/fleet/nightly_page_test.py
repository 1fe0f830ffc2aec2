"""The commands of docs/nightly.md run as typed, and do what is said there."""
import json
import os
import re
import subprocess
import unittest

import fleet


class NightlyPageTest(unittest.TestCase):
    def test_the_commands(self):
        root = fleet.scratch()
        for folder in (
            "bin",
            "images",
            "work",
            "var/lib/prometheus/node-exporter",
        ):
            os.makedirs(os.path.join(root, folder))
        os.symlink(fleet.FSCK, os.path.join(root, "bin", "qcow2-fsck"))
        os.symlink(os.path.abspath("packaging"), os.path.join(root, "work/packaging"))
        for number in range(12):
            fleet.clean_image(os.path.join(root, f"images/vm{number}.qcow2"))
        fleet.plant_leak(os.path.join(root, "images/vm1.qcow2"))
        with open("docs/nightly.md", encoding="utf-8") as page:
            blocks = re.findall(r"^```sh\n(.*?)^```$", page.read(), re.S | re.M)
        self.assertGreater(len(blocks), 6)
        environment = dict(os.environ)
        environment["PATH"] = f"{root}/bin:{environment['PATH']}"
        for block in blocks:
            script = re.sub(r"(?<=[ =])/(images|var)", rf"{root}/\1", block)
            result = subprocess.run(
                ["sh", "-c", script],
                cwd=os.path.join(root, "work"),
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            # 4 is the leak of vm1.
            self.assertIn(result.returncode, (0, 4), block + result.stdout)
        with open(os.path.join(root, "work/all.ndjson"), encoding="utf-8") as file:
            reports, summary = fleet.lines(file.read())
        self.assertEqual(len(reports), 12)
        self.assertEqual(summary["by_status"]["leaks"], 1)
        kept = os.path.join(root, "var/lib/qcow2-fsck")
        self.assertEqual(os.stat(kept).st_mode & 0o777, 0o700)
        with open(os.path.join(kept, "tonight.ndjson"), encoding="utf-8") as file:
            last = json.loads(file.read().splitlines()[-1])
        self.assertEqual(last["summary"]["end"], "complete")
        self.assertTrue(
            os.path.exists(
                os.path.join(root, "var/lib/prometheus/node-exporter/qcow2-fsck.prom")
            )
        )


if __name__ == "__main__":
    unittest.main()
