# shellcheck shell=bash
# close_descriptors: everything above standard error, except bash's own 255. A
# daemon that kept its starter's pipes or locks would keep others waiting on them.
close_descriptors() {
  local descriptor
  for descriptor in /proc/self/fd/*; do
    descriptor=${descriptor##*/}
    ((descriptor <= 2 || descriptor == 255)) || eval "exec $descriptor>&-"
  done
}
