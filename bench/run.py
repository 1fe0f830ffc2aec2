#!/usr/bin/env python3
"""Measures qcow2-fsck against qemu-img check and against the bare loop.

One run, all tools taking turns on each image, medians of wall time, the peak
memory of each. Prints tables in Markdown. bench/run.sh builds what this needs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

import images
import tables

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SMALL_RUNS = 50
# What --memory-limit is tried with: less than the reference map of that image
# takes when it is free to grow.
MEMORY_LIMITS = {"prealloc-8t": "256K", "random-64g": "128K",
                 "leaks-1t": "1M", "random-256g": "256K"}
# Image, what is repaired, and how many times faster that has to be.
REPAIRS = {"leaks-1t": ("leaks", 20), "zeroed-1t": ("all", 10)}


class Bench:
    """The programs, the images' place, and how one command is measured."""

    def __init__(self, options):
        self.options = options

    def path(self, image):
        return images.path_of(self.options.images, image.name)

    def fsck(self, image, *extra):
        return [self.options.fsck, *extra, self.path(image)]

    def measure(self, command, expected_exit):
        """Runs `command` once; its wall seconds and peak KiB."""
        done = subprocess.run([self.options.measure, *command], check=True,
                              capture_output=True, text=True)
        wall, user, system, peak, code = done.stdout.split()
        if int(code) != expected_exit:
            raise SystemExit("%s ended with %s, not %d" %
                             (" ".join(command), code, expected_exit))
        return {"wall": float(wall), "cpu": float(user) + float(system),
                "peak_kib": int(peak)}

    def drop_cache(self, image):
        """Makes the next read of the image come from the disk."""
        fd = os.open(self.path(image), os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
        if self.options.cold == "system":
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("3\n")


def fsck_exit(image):
    """fsck(8): 4 says that problems were left."""
    return 4 if image.corruptions or image.leaks else 0


def qemu_img_exit(image):
    if image.corruptions:
        return 2
    return 3 if image.leaks else 0


def summary(samples):
    """Median time, highest memory."""
    return {"wall": statistics.median(s["wall"] for s in samples),
            "cpu": statistics.median(s["cpu"] for s in samples),
            "peak_kib": max(s["peak_kib"] for s in samples),
            "rounds": len(samples)}


def interleave(bench, image, commands, before=lambda image: None):
    """Measures `commands` {name: (command, exit code)} in turns.

    A slow qemu-img sits out once its runs took --slow-seconds in all.
    """
    samples = {name: [] for name in commands}
    for _ in range(bench.options.rounds):
        for name, (command, expected_exit) in commands.items():
            spent = sum(sample["wall"] for sample in samples[name])
            if name == "qemu_img" and spent > bench.options.slow_seconds:
                continue
            before(image)
            samples[name].append(bench.measure(command, expected_exit))
    return {name: summary(taken) for name, taken in samples.items()}


def measure_warm(bench, image):
    loop = [bench.options.read_loop, bench.path(image)]
    jobs = ["--jobs=%d" % bench.options.jobs] if bench.options.jobs else []
    commands = {"loop": (loop, 0),
                "fsck": (bench.fsck(image, *jobs), fsck_exit(image))}
    if image.run_qemu_img and not bench.options.no_qemu_img:
        commands["qemu_img"] = (["qemu-img", "check", bench.path(image)],
                                qemu_img_exit(image))
    bench.measure(loop, 0)  # Brings the tables into the cache.
    return interleave(bench, image, commands)


def measure_cold(bench, image):
    commands = {
        "loop": ([bench.options.read_loop, bench.path(image)], 0),
        "fsck_1": (bench.fsck(image, "--jobs=1"), fsck_exit(image)),
        "fsck_8": (bench.fsck(image, "--jobs=8"), fsck_exit(image)),
    }
    return interleave(bench, image, commands, bench.drop_cache)


def measure_memory_limit(bench, image, limit):
    commands = {
        "free": (bench.fsck(image), fsck_exit(image)),
        "limited": (bench.fsck(image, "--memory-limit=" + limit),
                    fsck_exit(image)),
    }
    return interleave(bench, image, commands)


def measure_small(bench, image):
    """Start to finish, many times: what a nightly job pays per image."""
    samples = [bench.measure(bench.fsck(image), 0) for _ in range(SMALL_RUNS)]
    return summary(samples)


def measure_repair(bench, image, mode):
    """Repairs of fresh copies; journal, proof and fsyncs are part of it."""
    copy = os.path.join(bench.options.images, "copy-to-repair.qcow2")
    commands = {
        "fsck": ([bench.options.fsck, "--repair=" + mode, copy], 1),
        "qemu_img": (["qemu-img", "check", "-r", mode, copy], 0),
    }

    def copy_image(_):
        for path in (copy, copy + ".fsck-undo"):
            if os.path.exists(path):
                os.unlink(path)
        images.copy_sparse(bench.path(image), copy)
        os.sync()
        # Brings the tables into the cache.
        bench.measure([bench.options.read_loop, copy], 0)

    try:
        return interleave(bench, image, commands, copy_image)
    finally:
        for path in (copy, copy + ".fsck-undo"):
            if os.path.exists(path):
                os.unlink(path)


def run_repairs(bench, chosen, results):
    print(tables.repair_header(), flush=True)
    for image in chosen:
        if image.name not in REPAIRS:
            continue
        mode, target = REPAIRS[image.name]
        row = measure_repair(bench, image, mode)
        results["repair"][image.name] = row
        print(tables.repair_row(image, mode, target, row), flush=True)


def run_warm(bench, chosen, results):
    print(tables.warm_header(), flush=True)
    for image in chosen:
        row = measure_warm(bench, image)
        results["warm"][image.name] = row
        print(tables.warm_row(image, row), flush=True)
    print("\n" + tables.memory_limit_header(), flush=True)
    for image in chosen:
        if image.name in MEMORY_LIMITS:
            limit = MEMORY_LIMITS[image.name]
            row = measure_memory_limit(bench, image, limit)
            results["memory_limit"][image.name] = dict(row, limit=limit)
            print(tables.memory_limit_row(image, limit, row), flush=True)
    for image in chosen:
        if image.name == "small":
            results["small"] = measure_small(bench, image)
            print("\n" + tables.small_line(SMALL_RUNS, results["small"]))


def run_cold(bench, chosen, results):
    print(tables.cold_header(), flush=True)
    for image in chosen:
        if image.name == "small":
            continue  # Nothing to read: all of it is starting the process.
        row = measure_cold(bench, image)
        results["cold"][image.name] = row
        print(tables.cold_row(image, row), flush=True)


def parse_options(arguments):
    built = os.path.join(ROOT, "bazel-bin")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=images.default_directory(),
                        help="the images' directory (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME,...", default="",
                        help="only these images (make_images.py --list)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-seconds", type=float, default=20,
                        help="qemu-img is not run again on an image after "
                        "this many seconds on it (default: %(default)s)")
    parser.add_argument("--no-qemu-img", action="store_true")
    parser.add_argument("--jobs", type=int, default=0,
                        help="threads of qcow2-fsck (default: its own choice)")
    parser.add_argument("--cold", choices=["image", "system"],
                        help="drop the image's, or as root the system's, page "
                        "cache before every run")
    parser.add_argument("--repair", action="store_true",
                        help="measure repairs of copies instead of checks")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--fsck", default=os.path.join(built, "cli/qcow2-fsck"))
    parser.add_argument("--read-loop",
                        default=os.path.join(built, "bench/read_loop"))
    parser.add_argument("--measure",
                        default=os.path.join(built, "bench/measure"))
    return parser.parse_args(arguments)


def main(arguments):
    options = parse_options(arguments)
    bench = Bench(options)
    names = [name for name in options.only.split(",") if name]
    chosen = [image for image in images.benchmark_images()
              if not names or image.name in names]
    results = {"warm": {}, "cold": {}, "memory_limit": {}, "repair": {}}
    if options.repair:
        run_repairs(bench, chosen, results)
    elif options.cold:
        run_cold(bench, chosen, results)
    else:
        run_warm(bench, chosen, results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main(sys.argv[1:])
