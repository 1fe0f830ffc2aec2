"""Counts test cases in Bazel's event files: count_tests.py FILE...

A GoogleTest binary counts by its cases, a test that writes no cases as one.
A target that failed without a failed case (it crashed, ran out of time, was
not built) counts as one failure. Prints every failure, then the line
"N passed, N failed"; exits with 1 if there is a failure or nothing ran.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree


class Tally:
    """What came of the cases of one or several event files."""

    def __init__(self):
        self.passed = 0
        self.skipped = []
        self.failed = []

    def add_cases(self, path, label):
        """Counts the cases of one test.xml; true if one of them failed."""
        any_failed = False
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            name = f"{label}: {case.get('classname', '')}.{case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
                any_failed = True
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                self.skipped.append(name)
            else:
                self.passed += 1
        return any_failed

    def add_result(self, label, result):
        """Counts one run of a test target."""
        any_failed = False
        for output in result.get("testActionOutput", []):
            if output["name"] != "test.xml":
                continue
            path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            try:
                any_failed |= self.add_cases(path, label)
            except (OSError, xml.etree.ElementTree.ParseError):
                pass  # A crash left half a file: the status tells.
        if result["status"] != "PASSED" and not any_failed:
            self.failed.append(f"{label}: {result['status']}")

    def add_event(self, event):
        """Counts one event; true if it is the last one of a whole run."""
        identity = event["id"]
        if "testResult" in identity:
            self.add_result(identity["testResult"]["label"], event["testResult"])
        elif "targetCompleted" in identity:
            if not event.get("completed", {}).get("success"):
                label = identity["targetCompleted"]["label"]
                self.failed.append(f"{label}: not built")
        elif "pattern" in identity and "aborted" in event:
            self.failed.append(f"{identity['pattern']['pattern']}: not loaded")
        return event.get("lastMessage", False)

    def add_file(self, path):
        """Counts what one `bazel test` did."""
        finished = False
        try:
            with open(path, encoding="utf-8") as events:
                for line in events:
                    finished |= self.add_event(json.loads(line))
        except (OSError, ValueError):
            finished = False
        if not finished:
            self.failed.append(f"{path}: the run did not come to its end")


def main(paths):
    tally = Tally()
    for path in paths:
        tally.add_file(path)
    for name in tally.skipped:
        print(f"skipped: {name}")
    for name in tally.failed:
        print(f"failed: {name}")
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 0 if tally.passed and not tally.failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
