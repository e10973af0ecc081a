#!/bin/sh
# Makes a certificate and a user at the first start, runs the server, and prints "ftp: ready" when it lets the user in.
# FTP_MAX_CLIENTS limits how many may be connected at once.
set -eu
: "${FTP_USER:?give the container an FTP_USER}" "${FTP_PASSWORD:?give the container an FTP_PASSWORD}"
case $FTP_TLS in
  explicit | implicit | none) ;;
  *) echo "ftp: FTP_TLS is explicit, implicit or none, not $FTP_TLS" >&2; exit 1 ;;
esac

# It signs itself, and is complete enough for clients that are strict.
[ -e /certificate.pem ] ||
  openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext keyUsage=critical,digitalSignature,keyCertSign \
    -addext extendedKeyUsage=serverAuth -keyout /etc/ssl/private/ftp.pem -out /certificate.pem

# Few rounds, for logins in milliseconds. The folder may be a mount, which is root's.
id "$FTP_USER" > /dev/null 2>&1 || useradd --home-dir /srv/ftp "$FTP_USER"
printf '%s:%s\n' "$FTP_USER" "$FTP_PASSWORD" | chpasswd --crypt-method SHA512 --sha-rounds 1000
chown "$FTP_USER:" /srv/ftp
chmod 755 /srv/ftp

tls() {
  [ "$FTP_TLS" = none ] || cat <<END
LoadModule mod_tls.c
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile /certificate.pem
TLSECCertificateKeyFile /etc/ssl/private/ftp.pem
END
  [ "$FTP_TLS" != implicit ] || echo TLSOptions UseImplicitSSL
}

cat > /etc/proftpd/proftpd.conf <<END
ServerType standalone
ServerName localhost
Port 21
UseIPv6 off
UseReverseDNS off
User proftpd
Group nogroup
ModulePath /usr/lib/proftpd
LoadModule mod_ls.c
LoadModule mod_xfer.c

AuthOrder mod_auth_unix.c
RequireValidShell off
DefaultRoot ~
Umask 022
AllowOverwrite on
AllowRetrieveRestart on
AllowStoreRestart on
MaxLoginAttempts 1
MaxInstances none
${FTP_MAX_CLIENTS:+MaxClients $FTP_MAX_CLIENTS}

PassivePorts $(echo "$FTP_PASSIVE_PORTS" | tr - ' ')
MasqueradeAddress $FTP_PASSIVE_ADDRESS
$(tls)
END

# Logs in and lists the folder, over TLS where there is any.
answers() {
  case $FTP_TLS in
    explicit) set -- --ssl-reqd ftp://localhost:21 ;;
    implicit) set -- ftps://localhost:21 ;;
    none) set -- ftp://localhost:21 ;;
  esac
  curl --silent --show-error --max-time 5 --cacert /certificate.pem --user "$FTP_USER:$FTP_PASSWORD" "$@" > /dev/null
}

rm -f /run/ready
proftpd --nodaemon --quiet &
tries=100
until answers 2> /run/answer; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] && kill -0 $! 2> /dev/null || { cat /run/answer >&2; exit 1; }
  sleep 0.1
done
touch /run/ready
echo 'ftp: ready'
wait $!
