"""The table of benchmark images: what each is, how it is made, what is asked.

Sizes can be divided by a number, so that the tests make the same images small.
"""

import dataclasses
import os
import subprocess
from typing import Callable, Optional

import image_writer

GIB = 1 << 30
TIB = 1 << 40
CLUSTER = 1 << 16
# Any number would do; a fixed one makes the images the same every time.
SEED = 20100317


@dataclasses.dataclass(frozen=True)
class Image:
    """One benchmark image.

    make(path, images): makes it at `path`; images(name) is the path of another
        image, made before it.
    times_faster: how many times faster than `qemu-img check` a check is to be,
        None where nothing is asked or qemu-img is not run.
    corruptions, leaks: what a check finds, as qemu-img counts.
    """

    name: str
    title: str
    make: Callable
    times_faster: Optional[int] = None
    corruptions: int = 0
    leaks: int = 0
    run_qemu_img: bool = True
    needs: tuple = ()


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *arguments], check=True,
                   stdout=subprocess.DEVNULL)


def preallocated(size, options=""):
    """Every L2 entry points to a cluster of its own; the clusters are holes."""
    def make(path, _):
        qemu_img("create", "-q", "-f", "qcow2", "-o",
                 "preallocation=metadata" + options, path, str(size))
    return make


def random_order(size):
    def make(path, _):
        image_writer.write_random_order(path, size, 16, SEED)
    return make


def copy_sparse(source, target):
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target],
                   check=True)


def with_snapshots(base, count):
    def make(path, images):
        copy_sparse(images(base), path)
        for i in range(count):
            qemu_img("snapshot", "-c", "snapshot-%d" % i, path)
    return make


def with_leaks(base, count):
    def make(path, images):
        copy_sparse(images(base), path)
        image_writer.leak_scattered(path, count, SEED)
    return make


def with_zero_refcounts(base):
    def make(path, images):
        copy_sparse(images(base), path)
        image_writer.zero_refcounts(path)
    return make


def small(path, _):
    """A young image: 1 GiB disk of which 8 MiB are written."""
    qemu_img("create", "-q", "-f", "qcow2", path, "1G")
    subprocess.run(["qemu-io", "-c", "write -q 0 8M", path], check=True,
                   stdout=subprocess.DEVNULL)


def zeroed_corruptions(size):
    """What qemu-img counts when all refcounts are 0.

    One per cluster in use (count 0, one reference) and one per entry that has
    COPIED set although the count is not 1: guest clusters and L2 tables.
    """
    guest = size // CLUSTER
    l2 = -(-guest // (CLUSTER // 8))
    blocks = 0
    clusters = 0
    # Header, refcount table and L1 table take one cluster each up to 64 TiB.
    while blocks * (CLUSTER // 2) < (clusters := 3 + l2 + guest + blocks):
        blocks += 1
    return clusters + guest + l2


def benchmark_images(divisor=1):
    """The images, in an order in which each finds the ones it `needs` made."""
    tib = TIB // divisor
    gib = GIB // divisor
    leaks = 1_000_000 // divisor
    return [
        Image("prealloc-1t", "1 TiB, 64 KiB clusters, metadata preallocated",
              preallocated(tib), times_faster=20),
        Image("prealloc-8t", "8 TiB, same", preallocated(8 * tib),
              times_faster=20),
        Image("prealloc-128g-4k", "128 GiB, 4 KiB clusters, preallocated",
              preallocated(128 * gib, ",cluster_size=4k"), times_faster=10),
        Image("random-64g", "64 GiB allocated in random order",
              random_order(64 * gib), times_faster=500),
        Image("prealloc-256g", "256 GiB, preallocated (for the next row)",
              preallocated(256 * gib)),
        Image("snapshots-256g", "256 GiB with 16 snapshots sharing all",
              with_snapshots("prealloc-256g", 16), times_faster=50,
              needs=("prealloc-256g",)),
        Image("leaks-1t", "1 TiB with a million leaks",
              with_leaks("prealloc-1t", leaks), times_faster=20, leaks=leaks,
              needs=("prealloc-1t",)),
        Image("zeroed-1t", "1 TiB, every refcount zeroed",
              with_zero_refcounts("prealloc-1t"), times_faster=100,
              corruptions=zeroed_corruptions(tib), needs=("prealloc-1t",)),
        Image("extended-512g", "512 GiB, extended L2, preallocated",
              preallocated(512 * gib, ",extended_l2=on"), times_faster=10),
        Image("refcount1-256g", "256 GiB, 1-bit refcounts, preallocated",
              preallocated(256 * gib, ",refcount_bits=1"), times_faster=10),
        Image("refcount64-256g", "256 GiB, 64-bit refcounts, preallocated",
              preallocated(256 * gib, ",refcount_bits=64"), times_faster=10),
        Image("sequential-64g", "64 GiB in sequential order (against random)",
              preallocated(64 * gib)),
        Image("random-256g", "256 GiB in random order (4 x the random row)",
              random_order(256 * gib), run_qemu_img=False),
        Image("small", "1 GiB disk, 8 MiB of it written", small),
    ]


def path_of(directory, name):
    return os.path.join(directory, name + ".qcow2")


def make_image(image, directory):
    """Makes the image unless it is there. Returns whether it made it."""
    path = path_of(directory, image.name)
    if os.path.exists(path):
        return False
    # A name of its own until it is whole, so that an interrupted run leaves
    # nothing that looks finished.
    partial = path + ".partial"
    if os.path.exists(partial):
        os.remove(partial)
    image.make(partial, lambda name: path_of(directory, name))
    os.rename(partial, path)
    return True


def with_needed(images, names):
    """The images called `names` (all if empty) and those they are made from."""
    if not names:
        return images
    wanted = set(names)
    unknown = wanted - {image.name for image in images}
    if unknown:
        raise SystemExit("no such image: %s" % ", ".join(sorted(unknown)))
    for image in images:
        if image.name in names:
            wanted.update(image.needs)
    return [image for image in images if image.name in wanted]


def default_directory():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "qcow2-fsck-bench")
