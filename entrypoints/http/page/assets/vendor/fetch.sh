#!/usr/bin/env bash
# Fetch the vendored files of the page again, by npm. They are kept as they were published.
set -euo pipefail
cd "$(dirname "$0")"

VERSION=4.3.1
SHA256=8cbb1b63fccc3bba0ae73ad1deb160ce046c3750851d0c3e94921ae3ef070eb8

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
archive=$(npm pack --silent --pack-destination "$folder" "tus-js-client@$VERSION")
tar --extract --gzip --file "$folder/$archive" --directory "$folder"
echo "$SHA256  $folder/package/dist/tus.min.js" | sha256sum --check --quiet
cp "$folder/package/dist/tus.min.js" tus.min.js
cp "$folder/package/LICENSE" tus.LICENSE.txt
