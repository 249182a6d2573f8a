"""The host of the stories: addresses that lead nowhere, a user, what services leave lying about."""

from __future__ import annotations

from typing import Final

INSIDE: Final = "10.77.0.9"
OUTSIDE: Final = "93.184.216.34"
USER: Final = "dev"

FURNISH: Final = f"""
ip link set lo up && ip address add 10.77.0.1/24 dev lo && ip route add 93.184.216.0/24 dev lo
useradd -m {USER}
echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER} && chmod 440 /etc/sudoers.d/{USER}
mkdir -p /root/.ssh /srv/files && touch /root/.ssh/known_hosts /root/.bash_history /var/log/auth.log
ssh-keygen -A >/dev/null
for n in $(seq 12); do echo $n >/srv/files/report-$n; done
cp /bin/bash /usr/local/bin/forgotten && chmod 4755 /usr/local/bin/forgotten
cp /bin/dash /usr/local/sbin/php-fpm8.2
echo '{INSIDE} ssh-ed25519 AAAA' >/root/.ssh/known_hosts
"""
