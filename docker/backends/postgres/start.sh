#!/bin/sh
# Makes the cluster at the first start, then runs the server.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH

if [ ! -e "$PGDATA/PG_VERSION" ]; then
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:?give the container a POSTGRES_PASSWORD}" > "$password"
  initdb --username=postgres --pwfile="$password" --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 > /dev/null
  rm "$password"
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi

# Not as process 1, which inherits all orphans: PostgreSQL would take one that ends with 2, as a health check does that is
# late, for a server process of its own that has crashed, and start anew.
postgres -c listen_addresses='*' -c unix_socket_directories=/tmp &
trap 'kill -INT $!' INT TERM
status=0
wait $! || status=$?
[ $status -le 128 ] || wait $! # a signal came, and was passed on
