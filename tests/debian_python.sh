#!/usr/bin/env bash
# Gets a Python that this machine lacks out of Debian's packages, for tests/pythons.sh:
#
#   sudo bash tests/debian_python.sh 3.14 [forky] [~/.pyenv/versions/3.14]
#
# Needs debootstrap and patchelf. The interpreter keeps Debian's own libraries beside it, whatever this machine has, so
# that it runs, makes environments and is found like any other.
set -euo pipefail
version=$1 suite=${2:-forky} into=${3:-$HOME/.pyenv/versions/$1}
[ ! -e "$into" ] || { echo "$into exists already"; exit 2; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include="python$version,python$version-venv" "$suite" "$root" \
  "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" /usr/share/debootstrap/scripts/sid >/dev/null

mkdir -p "$into/bin" "$into/lib/debian"
cp "$root/usr/bin/python$version" "$into/bin"
cp -a "$root/usr/lib/python$version" "$root/usr/share/python-wheels" "$into/lib"
cp -L "$root"/usr/lib/*-linux-gnu/*.so.* "$into/lib/debian"
rm -f "$into/lib/python$version/sitecustomize.py"
for name in python3 python; do ln -s "python$version" "$into/bin/$name"; done
loader=$(basename "$(patchelf --print-interpreter "$into/bin/python$version")")
patchelf --set-interpreter "$into/lib/debian/$loader" --force-rpath --set-rpath "$into/lib/debian" "$into/bin/python$version"
# Where `python -m venv` looks for pip.
sed -i "s#'WHEEL_PKG_DIR': '[^']*'#'WHEEL_PKG_DIR': '$into/lib/python-wheels'#" "$into/lib/python$version"/_sysconfigdata_*.py
find "$into/lib/python$version" -name '_sysconfigdata_*.pyc' -delete

"$into/bin/python" -c 'import ctypes, sqlite3, ssl, sys; print("ready:", sys.executable, sys.version.split()[0])'
