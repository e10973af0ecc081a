#!/bin/sh
# Makes the data at the first start, then runs the server in this process.
set -eu
data=/data/mariadb
: "${MARIADB_ROOT_PASSWORD:?give the container a MARIADB_ROOT_PASSWORD}"

if [ ! -e "$data" ]; then
  password=$(printf %s "$MARIADB_ROOT_PASSWORD" | sed "s/[\\\\']/\\\\&/g")
  rm -rf "$data.new"
  mariadb-install-db --no-defaults --datadir="$data.new" --auth-root-authentication-method=normal \
    --skip-test-db --skip-name-resolve > /dev/null
  # It made users without a password. The user mysql has no rights, and is for the health check.
  mariadbd --no-defaults --datadir="$data.new" --bootstrap << SQL 2> /dev/null
DELETE FROM mysql.global_priv WHERE User = 'root';
FLUSH PRIVILEGES;
CREATE USER root@'%' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE OR REPLACE USER mysql@localhost IDENTIFIED VIA unix_socket;
SQL
  mv "$data.new" "$data"  # now it is whole
fi
exec mariadbd --no-defaults --datadir="$data" --socket=/tmp/mariadb.sock --bind-address=0.0.0.0 --skip-name-resolve \
  --innodb-flush-log-at-trx-commit=1
