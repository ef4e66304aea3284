# Sourced after bin/_env.sh: a bare Debian in a directory, and commands inside of it.
# shellcheck shell=bash

SUITE=bookworm

# fresh_base DIRECTORY: a bare Debian 12 with nothing but what every Debian has, once a directory.
# What this machine needs to reach its registries is copied at run time and is nowhere else.
fresh_base() {
    [ ! -e "$1/.made" ] || return 0
    [ "$(id -u)" -eq 0 ] || die "only root can make a bare Debian: run this as root"
    apt_install debootstrap
    local site
    site=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
        awk -v suite="$SUITE" '$2 == suite { print $1; exit }')
    [ -n "$site" ] || die "this machine has no source of packages for Debian $SUITE: add one to apt's"
    mkdir -p "$1"
    quietly debootstrap --variant=minbase "$SUITE" "$1" "$site" ||
        die "debootstrap failed: see above, and check the network and the disk of this machine"
    rm -rf "$1"/var/cache/apt/archives/*.deb
    registries "$1"
    touch "$1/.made"
}

# registries DIRECTORY: how this machine reaches packages: apt, pip, authorities.
registries() {
    apt-config dump Acquire | grep -v IndexTargets >"$1/etc/apt/apt.conf.d/99machine"
    cp -a /etc/apt/auth.conf.d/. "$1/etc/apt/auth.conf.d/" 2>/dev/null || true
    mkdir -p "$1/etc/ssl/certs" "$1/usr/local/share/ca-certificates" "$1/root/.config"
    cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/" 2>/dev/null || true
    cp -a /usr/local/share/ca-certificates/. "$1/usr/local/share/ca-certificates/" 2>/dev/null || true
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    cp -L /etc/pip.conf "$1/etc/" 2>/dev/null || true
    cp -rL "${XDG_CONFIG_HOME:-$HOME/.config}/pip" "$1/root/.config/" 2>/dev/null || true
}

# inside DIRECTORY COMMAND: a shell command in the Debian there, in namespaces of its own: its mounts
# and its processes are gone when it ends, however it ends.
inside() {
    local root=$1 command=$2 name passed=()
    while IFS= read -r name; do
        passed+=("$name=${!name}")
    done < <(compgen -e | grep -iE '^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE$|(https?|no|all)_proxy$)')
    unshare --mount --pid --fork --kill-child bash -c '
        set -e
        root=$1 command=$2
        shift 2
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t tmpfs tmpfs "$root/run"
        exec chroot "$root" env -i "$@" HOME=/root LANG=C.UTF-8 TERM=dumb \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            bash -c "$command"
    ' inside "$root" "$command" "${passed[@]}"
}
