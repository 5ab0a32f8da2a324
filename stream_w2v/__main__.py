"""``python -m stream_w2v`` is ``stream-w2v``."""

import sys

from stream_w2v.cli import main

sys.exit(main())
