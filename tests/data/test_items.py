from __future__ import annotations

import subprocess
import sys


def test_the_contract_and_the_splits_load_no_torch():
    code = "import sys, dmlbench.data.items, dmlbench.data.split; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
