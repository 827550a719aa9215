"""A request for POST /rank: which of the pictures in this folder fits a text?

python samples/rank.py "a red car" | curl -s http://127.0.0.1:7860/rank -d @-
"""

import base64
import json
import sys
from pathlib import Path

text = sys.argv[1] if len(sys.argv) > 1 else "a red car"
pictures = sorted(Path(__file__).parent.glob("*.png"))
request = {
    "queries": [{"text": text}],
    "candidates": [{"id": path.stem, "img_blob": base64.b64encode(path.read_bytes()).decode()} for path in pictures],
}
print(json.dumps(request))
