#!/bin/sh
# Makes the data and the users at the first start, then runs the server in this process.
set -eu
data=${MARIADB_DATA:-/data/mariadb}
[ -z "${MARIADB_PASSWORD_FILE:-}" ] || MARIADB_PASSWORD=$(cat "$MARIADB_PASSWORD_FILE")
[ "${MARIADB_ROOT_PASSWORD:-}" ] || [ "${MARIADB_DATABASE:-}" ] || {
  echo 'mariadb: give the container a MARIADB_ROOT_PASSWORD, or a MARIADB_DATABASE and its MARIADB_PASSWORD' >&2
  exit 1
}
quoted() { printf %s "$1" | sed "s/[\\\\']/\\\\&/g; s/.*/'&'/"; }

root() {
  cat << SQL
CREATE USER root@'%' IDENTIFIED BY $(quoted "$MARIADB_ROOT_PASSWORD");
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
SQL
}

database() {
  cat << SQL
CREATE DATABASE $MARIADB_DATABASE;
CREATE USER $MARIADB_DATABASE@'%' IDENTIFIED BY $(quoted "${MARIADB_PASSWORD:?give the container a MARIADB_PASSWORD}");
GRANT ALL ON $MARIADB_DATABASE.* TO $MARIADB_DATABASE@'%';
SQL
}

if [ ! -e "$data" ]; then
  rm -rf "$data.new"
  mariadb-install-db --no-defaults --datadir="$data.new" --auth-root-authentication-method=normal \
    --skip-test-db --skip-name-resolve > /dev/null
  # It made users without a password. The user mysql has no rights, and is for the health check.
  mariadbd --no-defaults --datadir="$data.new" --bootstrap << SQL 2> /dev/null
DELETE FROM mysql.global_priv WHERE User = 'root';
FLUSH PRIVILEGES;
${MARIADB_ROOT_PASSWORD:+$(root)}
${MARIADB_DATABASE:+$(database)}
CREATE OR REPLACE USER mysql@localhost IDENTIFIED VIA unix_socket;
SQL
  mv "$data.new" "$data"  # now it is whole
fi
# Without a certificate it would make one that nobody knows.
if [ "${MARIADB_TLS_PEM:-}" ]; then
  printf '%s\n' "$MARIADB_TLS_PEM" > /tmp/tls.pem
  set -- "$@" --ssl-cert=/tmp/tls.pem --ssl-key=/tmp/tls.pem --require-secure-transport
else
  set -- "$@" --skip-ssl
fi
exec mariadbd --no-defaults --datadir="$data" --socket=/tmp/mariadb.sock --bind-address=0.0.0.0 --skip-name-resolve \
  --innodb-flush-log-at-trx-commit=1 "$@"
