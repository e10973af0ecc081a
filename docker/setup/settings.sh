#!/bin/bash
# Writes the settings for those backends of this project that run into a .env where Drivebay starts: it reads it below its
# environment and the .env of its user, so what these have set wins. Each `docker compose up` runs it once they are
# healthy. A restart of the machine does not: Drivebay then continues with the backends that it had, whichever of them start
# first.
set -eu
runs() { getent hosts "$1" > /dev/null; }
answers() { (: < "/dev/tcp/$1/$2") 2> /dev/null; }

if [ "${DB_HOST:-}" = db ]; then
  for _ in {1..600}; do ! answers db "${DB_PORT:-5432}" || break; sleep 0.2; done
fi

# Each database knows its own blobs alone, so each has storages of its own.
rows=sqlite
! runs mariadb || rows=mariadb
! runs postgres || rows=postgres
[ -z "${DATABASE_URL:-}${DATABASE_URL_FILE:-}${DB_HOST:-}" ] || rows=own

storage=fs
{
  echo '# Written by docker compose at each up. Your own settings belong in the .env beside compose.yaml.'
  [ $rows = sqlite ] || echo "FS_BASE_PATH=/data/blobs-$rows"
  case $rows in
    postgres | mariadb)
      storage=database
      echo "DATABASE_URL_FILE=/run/secrets/$rows-url" ;;
  esac
  if runs ftp && [ -z "${FTP_HOST:-}" ]; then
    storage=ftp
    echo FTP_HOST=ftp
    echo FTP_USER=drivebay
    echo FTP_PASSWORD_FILE=/run/secrets/ftp-password
    echo FTP_CA_FILE=/run/ftp/certificate.pem
    echo FTP_PASSIVE=epsv
    echo FTP_BASE_DIR=/drivebay-$rows
  fi
  if runs s3 && [ -z "${S3_BUCKET:-}${S3_BUCKET_NAME:-}" ]; then
    storage=s3
    echo S3_ENDPOINT=http://s3:7480
    echo S3_FORCE_PATH_STYLE=true
    echo S3_BUCKET=drivebay-$rows
    echo S3_ACCESS_KEY_FILE=/run/secrets/s3-access-key
    echo S3_SECRET_KEY_FILE=/run/secrets/s3-secret-key
  fi
  echo STORAGE=$storage
} > /data/.env.new
mv /data/.env.new /data/.env
cat /data/.env
