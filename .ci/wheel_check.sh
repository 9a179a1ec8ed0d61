#!/usr/bin/env bash
# .ci/wheel_check.sh WHEEL: install it into an empty environment, train a tiny model there and predict with it.
set -euo pipefail

wheel=$(realpath "$1")
[ "$(stat -c %s "$wheel")" -lt 15000000 ] || { echo "$wheel has 15 MB or more" && exit 1; }
constraints=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../constraints.txt")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset PYTHONPATH
export XDG_CACHE_HOME="$tmp/cache"

"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip --quiet --quiet --disable-pip-version-check install -c "$constraints" "$wheel"
PATH="$tmp/venv/bin:$PATH"
cd "$tmp" # away from the repository, so that only the wheel can be imported

python - <<'PYTHON'
import sys
from importlib.resources import files

package = files("alexnet")
assert str(package).startswith(sys.prefix), f"alexnet comes from {package}, not from the wheel"
for name in ("py.typed", "use/page/index.html"):
    assert package.joinpath(name).is_file(), f"{name} is not in the wheel"
PYTHON

alexnet --version
alexnet variants --json >variants.json
python - <<'PYTHON'
import json

names = [variant["name"] for variant in json.load(open("variants.json"))]
assert "lenet-5" in names, names
print("variants:", *names)
PYTHON

alexnet train patterns --variant lenet-5 --epochs 1 --out "$tmp/run"
python -c 'from PIL import Image; Image.radial_gradient("L").convert("RGB").save("picture.png")'
alexnet predict "$tmp/picture.png" --model "$tmp/run" --json >answer.json
python - <<'PYTHON'
import json

[answer] = json.load(open("answer.json"))
assert answer["path"].endswith("picture.png") and 0 < answer["probability"] <= 1, answer
print("prediction:", answer["label"], round(answer["probability"], 3))
PYTHON

# The model in the box, where there is no network to ask. Not everywhere may one be taken away.
offline=(unshare --net --map-root-user)
"${offline[@]}" true 2>/dev/null || offline=()
"${offline[@]}" alexnet predict "$tmp/picture.png"
