#!/bin/sh
# PID 1 of a fresh pid and mount namespace: makes the launcher image's root file system a container's, as the kubelet
# and runc do, and becomes the launcher in it: uid 107, no capabilities, read-only root.
# Arguments: root file system, this repository, work directory with one folder per mount.
set -eu
root=$1 source=$2 work=$3

mount --make-rprivate /
mkdir -p "$work/root"
mount --bind "$root" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
touch dev/termination-log
mount --bind "$work/termination-log" dev/termination-log
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/source run/virtpod
if [ -n "${SCRATCH_BYTES:-}" ]; then
  mount -t tmpfs -o "size=$SCRATCH_BYTES,uid=107,gid=107,mode=755" tmpfs "$work/scratch"
fi
for folder in agent runtime scratch volumes kernel-boot; do
  mkdir "run/virtpod/$folder"
  mount --bind "$work/$folder" "run/virtpod/$folder"
done
mount --bind "$source" run/source
mount -o remount,bind,ro "$work/root"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \
  chroot --userspec=107:107 . \
  /usr/bin/tini -- /run/source/node_modules/node/bin/node /run/source/launcher/main.ts
