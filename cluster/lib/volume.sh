# shellcheck shell=bash
# Volumes of the development cluster: per volume a folder with a sparse image file of its size, on a loop device.
# A volume can neither hold more than it claims nor take room from another.

# attach_image IMAGE: prints its loop device. Direct: a guest's fsync reaches the file, and nothing is cached twice.
attach_image() { losetup --find --show --direct-io=on "$1"; }

# loops_on FILE: its loop devices, by the file's inode: a path would be that of the mount namespace that made them.
loops_on() { losetup --associated "$1" --noheadings --output NAME; }

# detach_image IMAGE: its loop devices and what stands on them: the kubelet holds a block volume by one of its own.
# One that is in use goes with its last user; one that went by itself meanwhile is no error.
detach_image() {
  local device upper
  for device in $(loops_on "$1"); do
    for upper in $(loops_on "$device"); do losetup --detach "$upper" || true; done
    losetup --detach "$device" || true
  done
}

image_detached() { [[ -z $(loops_on "$1") ]]; }

# make_filesystem FOLDER DEVICE: mounts it at FOLDER. For few and large files: no reserve, few inodes, a small journal.
make_filesystem() {
  mkdir "$1"
  mkfs.ext4 -q -m 0 -T largefile -J size=4 -E lazy_itable_init=1,lazy_journal_init=1 "$2"
  mount -t ext4 -o discard "$2" "$1"
}

# remove_volume FOLDER: what was a mount of another namespace has ended with that.
remove_volume() {
  if mountpoint --quiet "$1/mount"; then umount "$1/mount"; fi
  [[ ! -e $1/image ]] || detach_image "$1/image"
  rm -rf --one-file-system "$1"
}
