#!/bin/sh
# Makes what is missing of the secrets between Drivebay and its backends. Only their containers have this volume.
set -eu
cd /run/secrets

secret() {
  [ -s "$1" ] || { head --bytes=24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$1.new"; mv "$1.new" "$1"; }
}

secret s3-access-key
secret s3-secret-key
secret ftp-password
secret postgres-password
secret mariadb-password
for database in postgres:postgresql mariadb:mariadb; do
  name=${database%:*}
  echo "${database#*:}://drivebay:$(cat "$name-password")@$name/drivebay" > "$name-url"
done
