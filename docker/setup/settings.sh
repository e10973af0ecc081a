#!/bin/bash
# Writes the settings for those backends of this project that run into a .env where Drivebay starts: it reads it below its
# environment, so what the user has set wins. It is run by each `docker compose up`, when they are healthy, and not when
# the machine starts anew: Drivebay then goes on with the backends that it had, whichever of them come up first.
set -eu
runs() { getent hosts "$1" > /dev/null; }
use() { echo "# $1"; shift; printf '%s\n' "$@"; }
answers() { (: < "/dev/tcp/$1/$2") 2> /dev/null; }

if [ "${DB_HOST:-}" = db ]; then
  for _ in {1..600}; do ! answers db "${DB_PORT:-5432}" || break; sleep 0.2; done
fi

database= storage=
! runs mariadb || database=mariadb
! runs postgres || database=postgres
[ -z "$database" ] || storage=database
{
  echo '# Written by docker compose at each up. Your own settings belong in the .env beside compose.yaml.'
  [ -z "$database" ] || use "$database" "DATABASE_URL_FILE=/run/secrets/$database-url"
  if runs ftp && [ -z "${FTP_HOST:-}" ]; then
    storage=ftp
    use ftp FTP_HOST=ftp FTP_USER=drivebay FTP_PASSWORD_FILE=/run/secrets/ftp-password \
      FTP_CA_FILE=/run/ftp/certificate.pem FTP_PASSIVE=epsv
  fi
  if runs s3 && [ -z "${S3_BUCKET:-}${S3_BUCKET_NAME:-}" ]; then
    storage=s3
    use s3 S3_ENDPOINT=http://s3:7480 S3_FORCE_PATH_STYLE=true S3_BUCKET=drivebay \
      S3_ACCESS_KEY_FILE=/run/secrets/s3-access-key S3_SECRET_KEY_FILE=/run/secrets/s3-secret-key
  fi
  [ -z "$storage" ] || echo "STORAGE=$storage"
} > /data/.env.new
mv /data/.env.new /data/.env
cat /data/.env
