#!/bin/sh
# Makes a cluster of one monitor and one OSD and a user, runs the gateway, and prints "ceph: ready" when it answers. A
# cluster on bluestore is made at the first start; one on memstore at each, for its data is gone.
set -eu
[ -z "${S3_ACCESS_KEY_FILE:-}" ] || export S3_ACCESS_KEY="$(cat "$S3_ACCESS_KEY_FILE")"
[ -z "${S3_SECRET_KEY_FILE:-}" ] || export S3_SECRET_KEY="$(cat "$S3_SECRET_KEY_FILE")"
: "${S3_ACCESS_KEY:?give the container an S3_ACCESS_KEY}" "${S3_SECRET_KEY:?give the container an S3_SECRET_KEY}"
data=/var/lib/ceph
cd / # Debian's ceph-osd looks for its object classes in a relative path, lib/...

# A daemon that ends takes the container with it, and so does a start that takes too long.
daemon() {
  { "$@" || true; echo "ceph: $1 has ended" >&2; kill $$; } &
}
{ sleep 120; [ -e /tmp/ready ] || { echo 'ceph: not ready after 120 s' >&2; kill $$; }; } &

# A client that asks before it has the map of monitors is refused ("wrong fsid"): ask again. An OSD would stop
# trying, so a setting below keeps it from asking at its start.
tell() {
  until ceph "$@" > /dev/null; do sleep 0.1; done
}

rm -f /tmp/ready
# The file `made` has the cluster's id in it, and is there when the cluster is whole.
new=
if [ "$CEPH_OBJECTSTORE" = memstore ] || [ ! -e $data/made ]; then
  new=yes
  rm -rf $data/made $data/mon/* $data/osd/*
  mkdir -p $data/tmp $data/mon/ceph-a $data/osd/ceph-0
  fsid=$(cat /proc/sys/kernel/random/uuid)
else
  fsid=$(cat $data/made)
fi

# All but the gateway listens on the loopback address only, hence no authentication. The short interval saves a second
# for each of the changes to the cluster's map that the start makes. Seven pools of 32 placement groups, the default,
# come close to the 250 that one OSD may hold. The space of what is deleted is free again after a minute, not two hours.
cat > "$CEPH_CONF" <<END
[global]
fsid = $fsid
mon host = 127.0.0.1
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = $data/tmp
log to file = false
mon cluster log to file = false

mon allow pool size one = true
mon data avail crit = 1
paxos propose interval = 0.05
osd objectstore = $CEPH_OBJECTSTORE
memstore device bytes = 8G
bluestore block size = $CEPH_DISK_BYTES
osd memory target = 1G
osd class update on start = false
osd crush update on start = false
osd pool default size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off

rgw frontends = beast port=7480 tcp_nodelay=1
rgw gc obj min wait = 60
rgw gc processor period = 60
END

if [ "$new" ]; then
  monmaptool --create --clobber --add a 127.0.0.1 --fsid "$fsid" $data/tmp/monmap > /dev/null
  ceph-mon --mkfs --id a --monmap $data/tmp/monmap
fi
daemon ceph-mon -f --id a
if [ "$new" ]; then
  tell osd create
  tell osd crush add osd.0 1 root=default host=a
  ceph-osd --mkfs --id 0
fi
daemon ceph-osd -f --id 0
if [ "$new" ]; then
  radosgw-admin user create --uid=test --display-name=test \
    --access-key="$S3_ACCESS_KEY" --secret-key="$S3_SECRET_KEY" > /dev/null
  echo "$fsid" > $data/made
fi
daemon radosgw -f --name client.rgw

# Waits for an answer, then makes the buckets; signed the old way (version 2), which is short.
python3 - <<'END'
import base64, email.utils, hmac, http.client, os, sys, time

def ask(method, path, headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", 7480, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()

def answers():
    try:
        return ask("GET", "/")[0] == 200
    except OSError:
        return False

while not answers():
    time.sleep(0.1)

for bucket in os.environ.get("S3_BUCKET", "").split():
    date = email.utils.formatdate(usegmt=True)
    text = f"PUT\n\n\n{date}\n/{bucket}"
    signature = base64.b64encode(hmac.digest(os.environ["S3_SECRET_KEY"].encode(), text.encode(), "sha1")).decode()
    headers = {"Date": date, "Authorization": f"AWS {os.environ['S3_ACCESS_KEY']}:{signature}"}
    status, body = ask("PUT", f"/{bucket}", headers)
    if status != 200:
        sys.exit(f"ceph: the bucket {bucket} cannot be made: {status} {body}")
END
touch /tmp/ready
echo 'ceph: ready'
wait
