"""What a host does all day, by what is in the image: each script is a session of its own.

There is no compiler and no postgres in the image: a build here is one of packages and of Python's byte code.
"""

from __future__ import annotations

from typing import Final

FURNISH: Final = """
ip link set lo up
useradd -m -s /bin/bash dev
echo 'dev ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/dev && chmod 440 /etc/sudoers.d/dev
ssh-keygen -A >/dev/null && mkdir -p /run/sshd /root/.ssh /home/dev/.ssh && rm -f /root/.ssh/id_ed25519
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /home/dev/.ssh/authorized_keys && chown -R dev: /home/dev/.ssh
chmod 700 /home/dev/.ssh
printf '* * * * * root find /usr/share/doc | gzip >/var/backups/list.gz; logger -t work done\\n' \
    >/etc/cron.d/work
systemctl start nginx redis-server ssh cron
"""
"""Before the watch starts."""

PACKAGE: Final = """
set -e
for version in 1 2; do
    root=/srv/build/tool-$version; rm -rf $root; mkdir -p $root/DEBIAN $root/usr/lib/tool $root/usr/bin
    for part in json email http urllib asyncio; do cp -r /usr/lib/python3.11/$part $root/usr/lib/tool/; done
    printf '#!/bin/sh\\nexec python3 -c "print(%s)"\\n' $version >$root/usr/bin/tool
    chmod 755 $root/usr/bin/tool
    printf 'Package: tool\\nVersion: %s\\nArchitecture: all\\n' $version >$root/DEBIAN/control
    printf 'Maintainer: a <a@example.org>\\nDescription: a\\n' >>$root/DEBIAN/control
    printf '#!/bin/sh\\nset -e\\n[ "$1" != configure ] || systemctl daemon-reload\\n' >$root/DEBIAN/postinst
    chmod 755 $root/DEBIAN/postinst
    dpkg-deb --root-owner-group -Zgzip --build $root /srv/build/tool-$version.deb
    apt-get -qy install /srv/build/tool-$version.deb
    tool
done
apt-get -qy purge tool
"""

BUILD: Final = """
set -e
rm -rf /srv/source; mkdir -p /srv/source; cp -r /usr/lib/python3.11/json /usr/lib/python3.11/email \
    /usr/lib/python3.11/unittest /usr/lib/python3.11/xml /srv/source/
find /srv/source -name '*.pyc' -delete
python3 -m compileall -q -f /srv/source
for file in $(find /srv/source -name '*.py'); do sha256sum $file; done >/srv/source/SHA256SUMS
tar -czf /srv/source.tgz -C /srv source
"""

WEB: Final = """
set -e
for n in $(seq 60); do echo "<p>$n" >/var/www/html/$n.html; curl -s http://127.0.0.1/$n.html >/dev/null; done
nginx -t; systemctl reload nginx
mv /var/log/nginx/access.log /var/log/nginx/access.log.1; nginx -s reopen; gzip -f /var/log/nginx/access.log.1
"""

REDIS: Final = """
set -e
redis-benchmark -q -n 2000 -c 5 -t set,get,lpush
redis-cli set key value; redis-cli bgsave; sleep 2; cp /var/lib/redis/dump.rdb /var/backups/
systemctl restart redis-server
"""

SSH: Final = """
set -e
to="-q -o StrictHostKeyChecking=no dev@127.0.0.1"
ssh $to 'ps aux; ss -tln; df; sudo -n journalctl -n 20; sudo -n systemctl status nginx; true' >/dev/null
ssh $to 'sudo -n sed -i s/worker_connections.*/worker_connections\\ 512\\;/ /etc/nginx/nginx.conf'
ssh $to 'sudo -n nginx -t; sudo -n systemctl reload nginx'
ssh $to 'printf "#!/bin/sh\\nredis-cli ping\\n" >/tmp/check; chmod 755 /tmp/check; /tmp/check; rm /tmp/check'
echo notes >/root/notes; scp -q -o StrictHostKeyChecking=no /root/notes dev@127.0.0.1:notes
ssh $to 'sudo -n useradd -m other; echo other:secret | sudo -n chpasswd; sudo -n userdel -r other' || true
"""

CRON: Final = "sleep 65"
"""The job of /etc/cron.d/work, once at least."""

ACTIVITIES: Final = {
    "a package is built, installed, upgraded and purged": PACKAGE,
    "a source is built": BUILD,
    "a web server serves, is reloaded, its log rotated": WEB,
    "redis is used, saved, backed up, restarted": REDIS,
    "an administrator logs in by ssh": SSH,
    "cron runs": CRON,
}
