#!/bin/sh
# pyproject.toml → requirements.txt (image: core, gear, encrypt, pixels and de-id log) and requirements-dev.txt (all): every package of every
# supported Python and system, pinned, with hashes, without host names. Closed: installed with --no-deps.
# The peers of "make bench" have a lock of their own.
set -eu
compile() {
    .lock/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
        --no-emit-find-links --upgrade "$@"
}
python3 -m venv .lock
.lock/bin/pip install --quiet uv
for target in requirements requirements-dev; do
    case $target in requirements) extras="--extra encrypt --extra gear --extra pixels --extra postgres" ;; *) extras="--extra dev" ;; esac
    # shellcheck disable=SC2086 -- words
    compile --universal --python-version 3.11 $extras --output-file "$target.txt" pyproject.toml
done
printf '%s\n' flywheel-migration fw-file-rs deid dicognito dicom-anonymizer |
    compile --universal --python-version 3.11 - >.lock/peers.txt
# its functions run on an older Python than it asks for, and without the platform's client
echo fw-gear-deid-export | compile --no-deps --python-version 3.12 - >>.lock/peers.txt
mv .lock/peers.txt bench/requirements-peers.txt
rm -rf .lock
