# Read by `.` on every machine of launch/ray/cluster.yaml before `ray start`: no Ray without a token, and its sockets in
# a folder that nobody else can enter. Ends with an error where one of the two cannot be had.
ulimit -n 65536 2>/dev/null
[ -z "$(find ~/.ray/auth_token -perm /077)" ] || chmod 600 ~/.ray/auth_token
# An older Ray would ignore the token without a word; it does not know this command.
ray get-auth-token >/dev/null || { echo "no token, or a Ray before 2.52, which knows none" >&2; return 1; }
# The same name on all machines, as Ray needs it, and none that somebody else can guess.
RAY_TMPDIR=/tmp/hlc-$(sha256sum ~/.ray/auth_token | cut -c1-16)
export RAY_TMPDIR
# What an earlier start left; folders of a Ray that is alive stand in its processes' arguments.
if [ -O "$RAY_TMPDIR" ] && [ ! -L "$RAY_TMPDIR" ] && ! pgrep -u "$(id -u)" -f "$RAY_TMPDIR/" >/dev/null; then
  rm -rf "$RAY_TMPDIR"
fi
[ -O "$RAY_TMPDIR" ] && [ ! -L "$RAY_TMPDIR" ] || mkdir -m 700 "$RAY_TMPDIR"
