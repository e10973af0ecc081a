#!/bin/sh
# Makes a certificate and a user at the first start, runs the server, and prints "ftp: ready" when it lets the user in.
set -eu
: "${FTP_USER:?give the container an FTP_USER}" "${FTP_PASSWORD:?give the container an FTP_PASSWORD}"
case $FTP_TLS in
  explicit) set -- --tls 3 ;;
  none) set -- --tls 0 --brokenclientscompatibility ;;
  *) echo "ftp: FTP_TLS is explicit or none, not $FTP_TLS" >&2; exit 1 ;;
esac

# It signs itself, and is complete enough for clients that are strict.
[ -e /certificate.pem ] || {
  openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext keyUsage=critical,digitalSignature,keyCertSign \
    -addext extendedKeyUsage=serverAuth -keyout /etc/ssl/private/key.pem -out /certificate.pem
  cat /etc/ssl/private/key.pem /certificate.pem > /etc/ssl/private/pure-ftpd.pem
}

# Few rounds, for logins in milliseconds.
id "$FTP_USER" > /dev/null 2>&1 || useradd --home-dir /srv/ftp "$FTP_USER"
printf '%s:%s\n' "$FTP_USER" "$FTP_PASSWORD" | chpasswd --crypt-method SHA512 --sha-rounds 1000
mkdir -p /srv/ftp
chown "$FTP_USER:" /srv/ftp

# Logs in and lists the folder, over TLS where there is any.
answers() {
  curl --silent --show-error --max-time 5 --cacert /certificate.pem --user "$FTP_USER:$FTP_PASSWORD" "$@" > /dev/null
}
[ "$FTP_TLS" = none ] && required='' || required=--ssl-reqd

rm -f /run/ready
pure-ftpd --login unix --chrooteveryone --noanonymous --minuid 1 --ipv4only --dontresolve --limitrecursion 100000:8 \
  --maxclientsnumber 100 --maxclientsperip 100 --passiveportrange "$(echo "$FTP_PASSIVE_PORTS" | tr - :)" \
  --forcepassiveip "$FTP_PASSIVE_ADDRESS" "$@" &
tries=100
until answers $required ftp://localhost:21 2> /run/answer; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] && kill -0 $! 2> /dev/null || { cat /run/answer >&2; exit 1; }
  sleep 0.1
done
touch /run/ready
echo 'ftp: ready'
wait $!
