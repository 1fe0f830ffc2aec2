#!/usr/bin/env python3
"""Measures qcow2-tool against qemu-img: requests a second, and conversions.

One run, both programs taking turns on files of their own, medians of the wall
time of the whole process, the peak memory of each. Prints a table in Markdown.
bench/engine.sh builds what this needs.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile

import tables

MIB = 1 << 20


class Row:
    """What one line of the table measures.

    `ours` and `theirs` make the arguments of each program from the path of the
    prepared file and that of a file to make; `source` is the file to prepare.
    """

    def __init__(self, name, source, ours, theirs, target=1.5):
        self.name = name
        self.source = source
        self.ours = ours
        self.theirs = theirs
        self.target = target


def bench_row(name, source, arguments, write=False):
    how = ["-w"] if write else []

    def ours(path, _):
        return ["bench", *how, *arguments, path]

    def theirs(path, _):
        return ["bench", *how, *arguments, "-t", "writeback", "-f", "qcow2",
                path]

    return Row(name, source, ours, theirs)


def convert_row(name, source, ours, theirs, target):
    return Row(name, source,
               lambda path, to: ["convert", *ours, path, to],
               lambda path, to: ["convert", *theirs, path, to], target)


def rows(threads):
    half = ["--threads=%d" % threads]
    many = ["-m", str(threads)]
    return [
        bench_row("sequential read, 64 KiB", "full",
                  ["-c", "16384", "-d", "1", "-s", "65536"]),
        bench_row("sequential read, 1 MiB", "full",
                  ["-c", "1024", "-d", "1", "-s", "1048576"]),
        bench_row("read 4 KiB, depth 1", "full",
                  ["-c", "60000", "-d", "1", "-s", "4096", "-S", "1118208"]),
        bench_row("read 4 KiB, depth 32", "full",
                  ["-c", "60000", "-d", "32", "-s", "4096", "-S", "1118208"]),
        bench_row("overwrite 4 KiB, depth 1", "full",
                  ["-c", "30000", "-d", "1", "-s", "4096", "-S", "1118208"],
                  write=True),
        bench_row("overwrite 1 MiB", "full",
                  ["-c", "1024", "-d", "1", "-s", "1048576"], write=True),
        bench_row("allocating write 4 KiB", "empty",
                  ["-c", "12000", "-d", "1", "-s", "4096", "-S", "65536"],
                  write=True),
        bench_row("allocating write 1 MiB", "empty",
                  ["-c", "1000", "-d", "1", "-s", "1048576"], write=True),
        convert_row("convert qcow2 to raw", "full",
                    ["-O", "raw", *half], ["-O", "raw", "-W", *many], 1),
        convert_row("convert raw to qcow2", "raw",
                    ["-f", "raw", *half],
                    ["-f", "raw", "-O", "qcow2", "-W", *many], 1),
        convert_row("convert, compressed with zlib", "text",
                    ["-f", "raw", "-c", *half],
                    ["-f", "raw", "-O", "qcow2", "-c", *many], 1.5),
        convert_row("convert, compressed with zstd", "text",
                    ["-f", "raw", "-c", "--compression-type=zstd", *half],
                    ["-f", "raw", "-O", "qcow2", "-c", "-o",
                     "compression_type=zstd", *many], 1.5),
        convert_row("convert from zlib to raw", "zlib",
                    ["-O", "raw", *half], ["-O", "raw", *many], 1.5),
    ]


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def prepare(self):
        """Makes the files that are read: a full disk, and one of text."""
        generator = random.Random(1)
        words = [generator.randbytes(4).hex() for _ in range(2000)]
        with open(self.path("raw"), "wb") as file:
            for _ in range(self.options.mib):
                file.write(generator.randbytes(MIB))
        with open(self.path("text"), "wb") as file:
            for _ in range(self.options.mib // 4):
                text = " ".join(generator.choices(words, k=MIB // 8))
                file.write(text.encode()[:MIB])
            file.truncate(self.options.mib // 4 * MIB)
        self.qemu("convert", "-f", "raw", "-O", "qcow2", self.path("raw"),
                  self.path("full"))
        self.qemu("convert", "-f", "raw", "-O", "qcow2", "-c",
                  self.path("text"), self.path("zlib"))

    def qemu(self, *arguments):
        subprocess.run(["qemu-img", *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def measure(self, command):
        done = subprocess.run([self.options.measure, *command], check=True,
                              capture_output=True, text=True)
        wall, _, _, peak, code = done.stdout.split()
        if int(code) != 0:
            raise SystemExit("%s ended with %s" % (" ".join(command), code))
        return {"wall": float(wall), "peak_kib": int(peak)}

    def run_once(self, program, row, arguments):
        source = self.path(row.source)
        made = self.path("made")
        if os.path.exists(made):
            os.unlink(made)
        if row.source == "empty":
            source = self.path("empty")
            self.qemu("create", "-q", "-f", "qcow2", source, "1G")
        return self.measure([program, *arguments(source, made)])

    def run(self, row):
        samples = {"ours": [], "theirs": []}
        for _ in range(self.options.rounds):
            samples["ours"].append(
                self.run_once(self.options.tool, row, row.ours))
            samples["theirs"].append(
                self.run_once("qemu-img", row, row.theirs))
        return {who: {key: statistics.median(s[key] for s in some)
                      for key in ("wall", "peak_kib")}
                for who, some in samples.items()}


def line(row, result):
    ours, theirs = result["ours"], result["theirs"]
    times = theirs["wall"] / ours["wall"]
    return tables.row([
        row.name, tables.seconds(theirs["wall"]),
        tables.mib(theirs["peak_kib"]), tables.seconds(ours["wall"]),
        tables.mib(ours["peak_kib"]), "%.1f×" % times, "%g×" % row.target,
        "none" if times >= row.target else "time"])


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--measure", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--mib", type=int, default=1024,
                        help="size of the disk that is read")
    parser.add_argument("--folder", default="/dev/shm",
                        help="where the files are made; in memory by default")
    parser.add_argument("--json", help="every figure, for programs")
    return parser.parse_args()


def main():
    options = parse_options()
    folder = tempfile.mkdtemp(prefix="qcow2-tool-bench.", dir=options.folder)
    results = {}
    try:
        bench = Bench(options, folder)
        bench.prepare()
        print(tables.header(["", "qemu-img s", "MiB", "qcow2-tool s", "MiB",
                             "times faster", "target", "missed"]), flush=True)
        for row in rows(options.threads):
            results[row.name] = bench.run(row)
            print(line(row, results[row.name]), flush=True)
    finally:
        shutil.rmtree(folder)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
