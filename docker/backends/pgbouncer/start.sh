#!/bin/bash
# Runs one PgBouncer for each pool mode, says when both listen, and ends when one of them does.
set -eu
: "${PGBOUNCER_SERVER:?give the container a PGBOUNCER_SERVER}" "${PGBOUNCER_USER:?}" "${PGBOUNCER_PASSWORD:?}"
printf '"%s" "%s"\n' "$PGBOUNCER_USER" "$PGBOUNCER_PASSWORD" > /tmp/users

# As hard on clients as a PgBouncer can be: successive transactions run on different servers, and it knows nothing of prepared
# statements, as before version 1.21.
pool() {
  cat > "/tmp/$1.ini" << END
[databases]
* = host=$PGBOUNCER_SERVER
[pgbouncer]
pool_mode = $1
listen_addr = *
listen_port = $2
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /tmp/users
server_round_robin = 1
min_pool_size = 3
max_prepared_statements = 0
END
  exec pgbouncer --quiet "/tmp/$1.ini"
}

pool transaction 6432 &
pool session 6433 &
for port in 6432 6433; do
  until (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
    sleep 0.1
  done
done
echo 'pgbouncer: started'
wait -n
