#!/bin/sh
# pyproject.toml → requirements.txt (image: core and gear) and requirements-dev.txt (all): every package of every
# supported Python and system, pinned, with hashes, without host names. Closed: installed with --no-deps.
set -eu
python3 -m venv .lock
.lock/bin/pip install --quiet uv
for target in requirements requirements-dev; do
    case $target in requirements) extra="gear" ;; *) extra="dev" ;; esac
    .lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --upgrade --extra "$extra" --output-file "$target.txt" pyproject.toml
done
rm -rf .lock
