#!/usr/bin/env python3
"""Makes the corpus anew: corpus/images and corpus/fuzz.

Needs qemu-img and qemu-io 7.2 besides Python. Usage: make_corpus.py [NAME...]
makes the named cases only; without names everything, and removes what no case
makes any more. Two runs make the same bytes; an image that holds random keys
is kept as it is stored unless its file is removed first.

For each case NAME:
  images/NAME.qcow2.gz         the image
  images/NAME.expect.json      what a check must find, and what `qemu-img
                               check` found when the corpus was made
  images/NAME.files/FILE.gz    files it needs beside it
  originals/HASH.qcow2.gz      the image before it was damaged; the case names
                               it, and many cases share one
"""

import gzip
import hashlib
import json
import os
import shutil
import sys

import qcow2_patcher
import workshop
# Each of these registers its cases when it is imported.
import healthy_cases
import header_cases
import refcount_cases
import mapping_cases
import snapshot_cases
import other_cases
import special_cases
import fuzz_seeds

MODULES = (healthy_cases, header_cases, refcount_cases, mapping_cases,
           snapshot_cases, other_cases, special_cases)

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES = os.path.join(HERE, 'images')
ORIGINALS = os.path.join(HERE, 'originals')
FUZZ = os.path.join(HERE, 'fuzz')


def store(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)


def packed(data):
    return gzip.compress(bytes(data), compresslevel=9, mtime=0)


def image_path(name):
    return os.path.join(IMAGES, name + '.qcow2.gz')


def original_path(name):
    return os.path.join(ORIGINALS, name + '.qcow2.gz')


def make_case(shop, name, description, fields, make):
    """Runs one maker; a stored image of random content is used again."""
    made = workshop.Case(name, description, **fields)
    stored = image_path(name)
    shop.original = None
    if made.random and os.path.exists(stored):
        with gzip.open(stored) as file:
            made.image = qcow2_patcher.Image(file.read())
    else:
        made.image = make(made, shop)
    made.original = made.original or shop.original
    if (made.original and made.original.data != made.image.data
            and not name.startswith('healthy-')):
        made.original_name = hashlib.sha256(made.original.data).hexdigest()[:12]
    if name.startswith('healthy-'):
        wrong = made.image.disagreements()
        if wrong:
            raise ValueError(f'{name}: refcounts {wrong}')
    made.qemu = shop.ask_qemu(made)
    return made


def store_case(made):
    store(image_path(made.name), packed(made.image.data))
    if made.original_name:
        store(original_path(made.original_name), packed(made.original.data))
    text = json.dumps(made.as_json(), indent=2) + '\n'
    store(os.path.join(IMAGES, made.name + '.expect.json'), text.encode())
    directory = os.path.join(IMAGES, made.name + '.files')
    shutil.rmtree(directory, ignore_errors=True)
    for file, data in made.files.items():
        store(os.path.join(directory, file + '.gz'), packed(data))


def remove_strays(names):
    """Removes what an earlier run made for a case that is gone."""
    for entry in os.listdir(IMAGES):
        if entry.split('.')[0] not in names:
            path = os.path.join(IMAGES, entry)
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)


def remove_stray_originals(names):
    for entry in os.listdir(ORIGINALS):
        if entry.split('.')[0] not in names:
            os.remove(os.path.join(ORIGINALS, entry))


def check_complete(cases):
    """Every row of the problem table has a case or is listed as none."""
    with open(os.path.join(HERE, 'not_files.json'), encoding='utf-8') as file:
        listed = set(json.load(file))
    raised = {p['code'] for made in cases for p in made.problems}
    missing = set(workshop.severities()) - raised - listed
    if missing:
        raise ValueError('no case raises ' + ', '.join(sorted(missing)))


def store_fuzz_seeds(shop):
    shutil.rmtree(FUZZ, ignore_errors=True)
    for path, data in fuzz_seeds.seeds(shop):
        store(os.path.join(FUZZ, path), data)


def main(wanted):
    shop = workshop.Workshop()
    cases = []
    for name, description, fields, make in workshop.REGISTER:
        if wanted and name not in wanted:
            continue
        made = make_case(shop, name, description, dict(fields), make)
        store_case(made)
        cases.append(made)
        print(f'{name}: {made.final_status()}, qemu-img: '
              f'{made.qemu["class"]}')
    if not wanted:
        remove_strays({made.name for made in cases})
        remove_stray_originals({made.original_name for made in cases})
        check_complete(cases)
        store_fuzz_seeds(shop)


if __name__ == '__main__':
    main(set(sys.argv[1:]))
