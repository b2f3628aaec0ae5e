# Becomes the server, and leaves a shell beside it that ends it when whoever started it is gone.
#
# Arguments: the signal that ends the server in order; a directory to remove then, or nothing; the server's command.
# Standard input is a pipe from the starter. A line on it means that the server has ended, and its end without a line
# that the starter has. The shell is nobody's child, so a server that counts its children does not see it.
signal=$1 directory=$2
shift 2
exec 3<&0 </dev/null
(
  (
    exec >/dev/null 2>&1
    # A group that has no parent any more and a process that is frozen gets a hang-up from the system.
    trap '' HUP INT QUIT TERM
    if read -r _ <&3; then exit 0; fi
    processes() {
      for child in $(cat "/proc/$1"/task/*/children); do processes "$child"; done
      echo "$1"
    }
    kill -CONT $(processes $$)
    kill "-$signal" $$
    n_looks=0
    while [ -d "/proc/$$" ] && [ "$n_looks" -lt 30 ]; do
      sleep 0.1
      n_looks=$((n_looks + 1))
    done
    if [ -d "/proc/$$" ]; then kill -KILL $(processes $$); fi
    if [ -n "$directory" ]; then rm -rf -- "$directory"; fi
  ) &
)
exec "$@" 3<&-
