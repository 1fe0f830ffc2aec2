"""Validates reports of qcow2-fsck against the JSON Schema in docs/.

    validate_reports.py SCHEMA [--damage] < REPORTS     (json or ndjson)

--damage also makes sure that the schema refuses what it should: each report is
damaged in several ways, and every damage must be noticed.
"""
import copy
import json
import sys

from jsonschema import Draft202012Validator


def read_reports(text):
    """Each JSON document of a text: a single one, or one a line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


def damaged(report):
    """Copies of a report (no array), each with one thing wrong."""
    if "summary" in report:
        yield from damaged_summaries(report)
        return
    for key in report:
        if key in ("transaction", "change"):
            continue  # only a repair, or a run with a baseline, has one
        broken = copy.deepcopy(report)
        del broken[key]
        yield f"without {key}", broken
    for path, value in (
        (("schema_version",), 2),
        (("status",), "fine"),
        (("exit_code",), 2),
        (("counts", "leaks"), -1),
        (("image", "file_size"), "1"),
        (("surplus",), 1),
        (("image", "surplus"), 1),
    ):
        broken = copy.deepcopy(report)
        target = broken
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        yield f"{'.'.join(path)} = {value!r}", broken
    if "transaction" in report:
        yield from damaged_transactions(report)
    for index in range(len(report["problems"])):
        for key, value in (
            ("code", "no-such-problem"),
            ("number", 1),
            ("severity", "info"),
            ("location", {"structure": "nowhere"}),
            ("owners", ["nobody"]),
            ("surplus", 1),
        ):
            broken = copy.deepcopy(report)
            broken["problems"][index][key] = value
            yield f"problems[{index}].{key} = {value!r}", broken


def damaged_summaries(report):
    """Copies of the last object of a run over many images, each wrong."""
    for key in report["summary"]:
        broken = copy.deepcopy(report)
        del broken["summary"][key]
        yield f"summary without {key}", broken
    for path, value in (
        (("end",), "fine"),
        (("surplus",), 1),
        (("images", "left"), -1),
        (("by_status", "fine"), 1),
        (("counts", "surplus"), 1),
        (("damaged",), {}),
    ):
        broken = copy.deepcopy(report)
        target = broken["summary"]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        yield f"summary.{'.'.join(path)} = {value!r}", broken


def damaged_transactions(report):
    """Copies of a report of a repair, each with its transaction wrong."""
    for path, value in (
        (("action",), "nothing"),
        (("conclusion",), "fine"),
        (("surplus",), 1),
        (("plan", "changes"), "1"),
        (("plan", "surplus"), 1),
        (("left",), {}),
    ):
        broken = copy.deepcopy(report)
        target = broken["transaction"]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        yield f"transaction.{'.'.join(path)} = {value!r}", broken
    for part in ("proof", "commit", "recovered"):
        if part in report["transaction"]:
            broken = copy.deepcopy(report)
            broken["transaction"][part]["surplus"] = 1
            yield f"transaction.{part}.surplus", broken


def main():
    with open(sys.argv[1], encoding="utf-8") as schema_file:
        schema = json.load(schema_file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    documents = read_reports(sys.stdin.read())
    failures = 0
    for document in documents:
        for error in validator.iter_errors(document):
            failures += 1
            print(f"refused: {error.json_path}: {error.message}")
        if "--damage" not in sys.argv[2:]:
            continue
        reports = document if isinstance(document, list) else [document]
        for report in reports:
            for what, broken in damaged(report):
                if validator.is_valid(broken):
                    failures += 1
                    print(f"accepted although wrong: {what}")
    if not documents:
        sys.exit("no report to validate")
    print(f"{len(documents)} documents, {failures} failures")
    sys.exit(1 if failures else 0)


main()
