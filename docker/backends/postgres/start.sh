#!/bin/sh
# Makes the cluster at the first start, then runs the server in this process.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH

if [ ! -e "$PGDATA/PG_VERSION" ]; then
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:?give the container a POSTGRES_PASSWORD}" > "$password"
  initdb --username=postgres --pwfile="$password" --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 > /dev/null
  rm "$password"
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
