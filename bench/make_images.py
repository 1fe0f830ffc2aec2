#!/usr/bin/env python3
"""Makes the benchmark images; those that exist are kept.

The files are sparse: some 4 GiB on disk in all.
"""

import argparse
import os
import time

import images


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?",
                        default=images.default_directory(),
                        help="where to put them (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME,...", default="",
                        help="only these images")
    parser.add_argument("--list", action="store_true",
                        help="list the images and make none")
    arguments = parser.parse_args()
    names = [name for name in arguments.only.split(",") if name]
    wanted = images.with_needed(images.benchmark_images(), names)
    if arguments.list:
        for image in wanted:
            print("%-18s %s" % (image.name, image.title))
        return
    os.makedirs(arguments.directory, exist_ok=True)
    for image in wanted:
        start = time.monotonic()
        if images.make_image(image, arguments.directory):
            print("%s: made in %.0f s" %
                  (image.name, time.monotonic() - start), flush=True)


if __name__ == "__main__":
    main()
