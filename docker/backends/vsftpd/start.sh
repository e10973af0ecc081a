#!/bin/sh
# Makes a certificate and a user at the first start, runs the server, and prints "ftp: ready" when it lets the user in.
# FTP_MAX_CLIENTS limits how many may be connected at once.
set -eu
[ -z "${FTP_PASSWORD_FILE:-}" ] || FTP_PASSWORD=$(cat "$FTP_PASSWORD_FILE")
: "${FTP_USER:?give the container an FTP_USER}" "${FTP_PASSWORD:?give the container an FTP_PASSWORD}"
yes_if() { [ "$FTP_TLS" "$@" ] && echo YES || echo NO; }
case $FTP_TLS in
  explicit | implicit | none) ;;
  *) echo "ftp: FTP_TLS is explicit, implicit or none, not $FTP_TLS" >&2; exit 1 ;;
esac

# It signs itself, and is complete enough for clients that are strict.
certificate=${FTP_CERTIFICATE_DIR%/}/certificate.pem
key=${FTP_CERTIFICATE_DIR%/}/key.pem
[ -e "$certificate" ] || {
  openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj /CN=localhost \
    -addext subjectAltName="DNS:$FTP_NAME,DNS:localhost,IP:127.0.0.1" -addext keyUsage=critical,digitalSignature,keyCertSign \
    -addext extendedKeyUsage=serverAuth -keyout "$key" -out "$certificate.new"
  chmod 644 "$certificate.new"
  mv "$certificate.new" "$certificate"
}

# Few rounds, for logins in milliseconds. The folder may be a mount, which is root's.
id "$FTP_USER" > /dev/null 2>&1 || useradd --home-dir /srv/ftp "$FTP_USER"
printf '%s:%s\n' "$FTP_USER" "$FTP_PASSWORD" | chpasswd --crypt-method SHA512 --sha-rounds 1000
chown "$FTP_USER:" /srv/ftp
chmod 755 /srv/ftp
printf '%s required pam_unix.so nodelay\n' auth account session > /etc/pam.d/vsftpd
mkdir -p /run/vsftpd/empty # it locks itself in there until the login

cat > /etc/vsftpd.conf <<END
listen=YES
background=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO

anonymous_enable=NO
local_enable=YES
write_enable=YES
# A second upload to a name does not wait, without a word, for the end of the first.
lock_upload_files=NO
chroot_local_user=YES
allow_writeable_chroot=YES
local_umask=022
delay_failed_login=0
max_login_fails=1
max_clients=${FTP_MAX_CLIENTS:-0}
max_per_ip=0
secure_chroot_dir=/run/vsftpd/empty

pasv_min_port=${FTP_PASSIVE_PORTS%-*}
pasv_max_port=${FTP_PASSIVE_PORTS#*-}
pasv_address=$FTP_PASSIVE_ADDRESS

ssl_enable=$(yes_if != none)
implicit_ssl=$(yes_if = implicit)
force_local_logins_ssl=YES
force_local_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file=$certificate
rsa_private_key_file=$key
END

# Logs in and lists the folder, over TLS where there is any.
answers() {
  case $FTP_TLS in
    explicit) set -- --ssl-reqd ftp://localhost:21 ;;
    implicit) set -- ftps://localhost:21 ;;
    none) set -- ftp://localhost:21 ;;
  esac
  curl --silent --show-error --max-time 5 --cacert "$certificate" --user "$FTP_USER:$FTP_PASSWORD" "$@" > /dev/null
}

rm -f /run/ready
# What it cannot start with, it says to its standard input.
vsftpd /etc/vsftpd.conf 0>&2 &
tries=100
until answers 2> /run/answer; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] && kill -0 $! 2> /dev/null || { cat /run/answer >&2; exit 1; }
  sleep 0.1
done
touch /run/ready
echo 'ftp: ready'
wait $!
