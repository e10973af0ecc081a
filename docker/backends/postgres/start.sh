#!/bin/sh
# Makes the cluster, its superuser and a database at the first start, then runs the server in this process.
set -eu
[ -z "${POSTGRES_USER_FILE:-}" ] || POSTGRES_USER=$(cat "$POSTGRES_USER_FILE")
[ -z "${POSTGRES_DB_FILE:-}" ] || POSTGRES_DB=$(cat "$POSTGRES_DB_FILE")
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
[ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
quoted() { printf %s "$1" | sed 's/"/""/g; s/.*/"&"/'; }
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH

if [ ! -e "$PGDATA" ]; then
  made=$PGDATA.new
  rm -rf "$made"
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:?give the container a POSTGRES_PASSWORD}" > "$password"
  initdb --pgdata="$made" --username="$POSTGRES_USER" --pwfile="$password" --encoding=UTF8 --locale=C.UTF-8 \
    --auth=scram-sha-256 > /dev/null
  rm "$password"
  echo 'host all all all scram-sha-256' >> "$made/pg_hba.conf"
  [ "$POSTGRES_DB" = postgres ] ||
    echo "CREATE DATABASE $(quoted "$POSTGRES_DB")" | postgres --single -j -D "$made" postgres > /dev/null
  mv "$made" "$PGDATA"  # now it is whole
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
