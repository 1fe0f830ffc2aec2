#!/bin/sh
# Unpacks every image of corpus/images, with the files it needs beside it, each
# into a folder of its own:
#   unpack_corpus.sh IMAGES FOLDER
set -eu
for packed in "$1"/*.qcow2.gz; do
  name=$(basename "$packed" .qcow2.gz)
  mkdir "$2/$name"
  gzip -dc "$packed" >"$2/$name/$name.qcow2"
  if [ ! -d "$1/$name.files" ]; then continue; fi
  for companion in "$1/$name.files"/*; do
    case $companion in
      *.gz) gzip -dc "$companion" >"$2/$name/$(basename "$companion" .gz)" ;;
      *) cp "$companion" "$2/$name/" ;;
    esac
  done
done
