#!/bin/sh
# pyproject.toml → requirements.txt (runtime) and requirements-dev.txt (all): pinned, with hashes, without host names.
set -eu
for target in requirements requirements-dev; do
    case $target in requirements) extra="" ;; *) extra="--extra dev" ;; esac
    # shellcheck disable=SC2086 -- $extra is two words or none
    .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file "$target.txt" $extra pyproject.toml
done
